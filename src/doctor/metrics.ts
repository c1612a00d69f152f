/** Whether the metrics of each check-in can be written. */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Layout } from '../store/layout.ts';
import type { Finding } from './check.ts';
import { gweCommand, shellLine } from './commands.ts';

/** A fault here costs no update, only the metrics. */
export function checkMetrics(layout: Pick<Layout, 'root'>, path: string): Finding {
  if (path === '') return { status: 'ok', finding: 'no metrics_file is set' };
  const directory = dirname(path);
  if (!existsSync(directory)) {
    const finding = `metrics_file '${path}' cannot be written: no directory '${directory}'`;
    return { status: 'warn', finding, run: shellLine('mkdir', '-p', directory) };
  }
  const run = gweCommand(layout, 'config', 'unset', 'metrics_file');
  const fault = writeFault(directory, path);
  if (fault === undefined) return { status: 'ok', finding: `written to '${path}'` };
  return { status: 'warn', finding: `metrics_file '${path}' cannot be written: ${fault}`, run };
}

function writeFault(directory: string, path: string): string | undefined {
  if (!statSync(directory).isDirectory()) return `'${directory}' is not a directory`;
  if (statSync(path, { throwIfNoEntry: false })?.isFile() === false) return 'it is not a regular file';
  try {
    accessSync(directory, constants.W_OK | constants.X_OK);
    return undefined;
  } catch {
    return `no permission to write to '${directory}'`;
  }
}
