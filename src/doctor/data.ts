/** Whether apps have a place for what they keep, and whether that outlives a restart of the gateway. */
import { existsSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { assertDataPlace } from '../agent/effects/app-data.ts';
import { describeError } from '../base/errors.ts';
import { listDirectory } from '../base/fs.ts';
import { appDataDirectory, type Layout } from '../store/layout.ts';
import type { Finding } from './check.ts';

/** tmpfs and ramfs, by statfs(2). */
const IN_MEMORY = new Set([0x01021994, 0x858458f6]);

export function checkData(layout: Layout): Finding {
  const faults = listDirectory(layout.appsDirectory).flatMap((app) => faultOf(layout, app) ?? []);
  if (faults.length > 0) {
    return {
      status: 'fail',
      finding: faults.join('; '),
      mend: 'mount the disk that the link leads to, or move away what is in its place; until then the app is not updated',
    };
  }
  const apps = listDirectory(layout.dataDirectory);
  const paths = apps.length === 0 ? [layout.dataDirectory] : apps.map((app) => appDataDirectory(layout, app));
  const volatile = paths.filter(isInMemory);
  const count = apps.length === 1 ? '1 app has' : `${apps.length} apps have`;
  if (volatile.length === 0) return { status: 'ok', finding: `${count} data in ${layout.dataDirectory}` };
  return {
    status: 'warn',
    finding: `${volatile.map((path) => `'${path}'`).join(', ')} on a file system in memory: what apps keep there is lost when the gateway restarts`,
    mend: `mount a disk at ${layout.dataDirectory}, or make it a link to a directory on one`,
  };
}

function faultOf(layout: Layout, app: string): string | undefined {
  try {
    assertDataPlace(layout, app);
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}

/** For a path that does not exist yet, the file system that it would be made on counts. */
function isInMemory(path: string): boolean {
  let at = path;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return IN_MEMORY.has(statfsSync(at).type);
}
