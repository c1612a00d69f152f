/** Whether what apps keep outlives a restart of the gateway. */
import { existsSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { listDirectory } from '../base/fs.ts';
import { appDataDirectory, type Layout } from '../store/layout.ts';
import type { Finding } from './check.ts';

/** tmpfs and ramfs, by statfs(2). */
const IN_MEMORY = new Set([0x01021994, 0x858458f6]);

export function checkData(layout: Layout): Finding {
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

/** For a path that does not exist yet, the file system that it would be made on counts. */
function isInMemory(path: string): boolean {
  let at = path;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return IN_MEMORY.has(statfsSync(at).type);
}
