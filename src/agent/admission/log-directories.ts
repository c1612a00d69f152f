/** Who could put something in the place of a log: supervisord, which runs as root, opens and renames it by name. */
import { type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { GweError } from '../../base/errors.ts';
import { expand } from '../../supervisor/expand.ts';
import type { RenderedProgram } from '../../supervisor/program.ts';
import type { AgentContext } from '../run/context.ts';
import { programUser } from './program-user.ts';

const OTHERS_WRITE = 0o002;
const STICKY = 0o1000;

/** The directories of all log files that the entry of `app` names, whether or not they exist. */
export function logDirectories(
  app: string,
  program: Pick<RenderedProgram, 'settings'> | undefined,
): string[] {
  const names = {
    program_name: app,
    group_name: app,
    here: '',
    host_node_name: '',
    process_num: 0,
    numprocs: 1,
  };
  const logs = (program?.settings ?? []).filter(({ key }) => /^std(?:out|err)_logfile$/.test(key));
  const directories = logs.flatMap(({ value }) => {
    const once = expand(value, names);
    const twice = once.ok ? expand(once.text, names) : once;
    return twice.ok && twice.text.startsWith('/') ? [dirname(twice.text)] : [];
  });
  return [...new Set(directories)];
}

/**
 * Throws SUPERVISOR_PROGRAM_INVALID for a log in a directory in which others than root can put a link: anybody, or,
 * where programs run as another user (programs_as, run_as), the user whose directory it is. A directory that does not
 * exist yet passes.
 */
export function assertLogsProtected(
  context: Pick<AgentContext, 'settings'>,
  app: string,
  program: Pick<RenderedProgram, 'settings'> | undefined,
): void {
  const isOwnerTrusted = programUser(context) === undefined;
  for (const directory of logDirectories(app, program)) {
    const found = findOpen(directory, isOwnerTrusted);
    if (found === undefined) continue;
    throw new GweError(
      'SUPERVISOR_PROGRAM_INVALID',
      `cannot use supervisor.conf of '${app}': it has a log in '${directory}', and ${found}, who could put a link there for supervisord ` +
        'to follow as root; expected a directory of root that others cannot write to, such as /var/log',
    );
  }
}

/** Who else can change what `directory` holds, or what it is. In a sticky one (/tmp) a directory stays who made it. */
function findOpen(directory: string, isOwnerTrusted: boolean): string | undefined {
  for (let path = directory; ; path = dirname(path)) {
    const stat = statIfThere(path);
    const isShared = stat !== undefined && (stat.mode & OTHERS_WRITE) !== 0;
    if (isShared && (path === directory || (stat.mode & STICKY) === 0))
      return `anybody may write to '${path}'`;
    if (!isOwnerTrusted && stat !== undefined && !isOwn(stat)) return `'${path}' belongs to user ${stat.uid}`;
    if (path === dirname(path)) return undefined;
  }
}

function isOwn({ uid }: Stats): boolean {
  return uid === 0 || uid === process.getuid?.();
}

function statIfThere(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}
