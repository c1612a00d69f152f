/**
 * Log directories that install.sh creates in memory: a reboot removes them, and supervisord would not start without
 * them.
 */
import { lstatSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { GweError } from '../../base/errors.ts';
import { isGuarded } from '../../service/guard-hooks.ts';
import type { RenderedProgram } from '../../supervisor/program.ts';
import { directoryExists } from '../../supervisor/users.ts';
import type { AgentContext } from '../run/context.ts';
import { logDirectories } from './log-directories.ts';

type LogContext = Pick<AgentContext, 'layout'>;

/** The file system types of tmpfs and ramfs (statfs(2)). */
const IN_MEMORY = [0x01021994, 0x858458f6];
const MOST_NOTED = 4;

/** The log directories of the program that are not there: before install.sh, what it will have to make. */
export function missingLogDirectories(app: string, program: RenderedProgram | undefined): string[] {
  return logDirectories(app, program)
    .filter((path) => !directoryExists(path))
    .slice(0, MOST_NOTED);
}

/**
 * Throws SUPERVISOR_PROGRAM_INVALID for one of `made`, which install.sh has made, that the next reboot removes,
 * unless the boot guard creates it again. `/var/log` itself may be in memory: it is there at every start.
 */
export function assertLogsOutliveReboot({ layout }: LogContext, app: string, made: readonly string[]): void {
  const found = made.find((path) => path !== layout.logDirectory && isInMemory(path, layout.appsDirectory));
  if (found === undefined || isGuarded(layout)) return;
  throw new GweError(
    'SUPERVISOR_PROGRAM_INVALID',
    `cannot use supervisor.conf of '${app}': its log directory '${found}' was created by install.sh in memory (tmpfs), so a reboot ` +
      `removes it and supervisord would no longer start; expected a directory on the disk, or ${layout.logDirectory} itself; ` +
      "or run 'gwe service install', whose boot guard makes it again",
  );
}

/** A mount point is made at every start, and where the apps are in memory too nothing outlives a reboot. */
function isInMemory(path: string, appsDirectory: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || !IN_MEMORY.includes(statfsSync(path).type)) return false;
  const isMountPoint = lstatSync(dirname(path)).dev !== stat.dev;
  return !isMountPoint && statSync(appsDirectory, { throwIfNoEntry: false })?.dev !== stat.dev;
}
