/** Whether the metrics of each check-in can be written. */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Layout } from '../store/layout.ts';
import type { Finding } from './check.ts';
import { gweCommand } from './commands.ts';

/** A fault here costs no update, only the metrics. */
export function checkMetrics(layout: Pick<Layout, 'root'>, path: string): Finding {
  if (path === '') return { status: 'ok', finding: 'no metrics_file is set' };
  const run = gweCommand(layout, 'config', 'unset', 'metrics_file');
  const fault = writeFault(path);
  if (fault === undefined) return { status: 'ok', finding: `written to '${path}'` };
  return { status: 'warn', finding: `metrics_file '${path}' cannot be written: ${fault}`, run };
}

function writeFault(path: string): string | undefined {
  if (statSync(path, { throwIfNoEntry: false })?.isFile() === false) return 'it is not a regular file';
  const directory = nearestExisting(dirname(path));
  if (!statSync(directory).isDirectory()) return `'${directory}' is not a directory`;
  try {
    accessSync(directory, constants.W_OK | constants.X_OK);
    return undefined;
  } catch {
    return `no permission to write to '${directory}'`;
  }
}

/** The agent makes directories that are missing, so what counts is the one that it would make them in. */
function nearestExisting(directory: string): string {
  return existsSync(directory) ? directory : nearestExisting(dirname(directory));
}
