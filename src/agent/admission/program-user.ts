/**
 * Which user programs run as. A key that may vouch for one app only would otherwise give its holder root, by a
 * supervisor.conf that names no user.
 */
import { dirname, join } from 'node:path';
import { MANIFEST_PATH, manifestDigest } from '../../artifact/manifest/meta-files.ts';
import { judgeSignatures } from '../../artifact/manifest/policy.ts';
import { readTreeIndex } from '../../artifact/manifest/verify-tree.ts';
import { GweError } from '../../base/errors.ts';
import { readFileBounded } from '../../base/fs.ts';
import { readGatewayKeys } from '../../store/gateway-keys.ts';
import type { ProgramSetting } from '../../supervisor/program.ts';
import { findUser } from '../../supervisor/users.ts';
import { escapePercent } from '../../supervisor/version-command.ts';
import type { AgentContext } from '../run/context.ts';
import { artifactLimits } from './artifact-limits.ts';

/** The user of programs that name none; `undefined` where that is supervisord's own. Throws CONFIG_INVALID. */
export function programUser({ settings }: Pick<AgentContext, 'settings'>): string | undefined {
  const { programsAs, runAs } = settings();
  const [option, name] = programsAs === '' ? ['run_as', runAs] : ['programs_as', programsAs];
  if (name === '' || process.getuid?.() !== 0) return undefined;
  const user = findUser(name);
  if (user !== undefined) return user.uid === 0 ? undefined : user.name;
  throw new GweError(
    'CONFIG_INVALID',
    `cannot run programs as '${name.slice(0, 60)}' (${option}): no such user in /etc/passwd; set ${option} to a user of this gateway`,
  );
}

/** A sentence for those who relied on root. */
export function noteProgramUser(
  context: Pick<AgentContext, 'settings'>,
  settings: readonly ProgramSetting[],
): string | undefined {
  const user = programUser(context);
  const own = settings.find(({ key }) => key === 'user');
  if (user === undefined || own?.line !== undefined) return undefined;
  return `the program runs as '${user}', because its supervisor.conf names no user (programs_as, or run_as): 'gwe --set programs_as=root' makes it run as root, as before`;
}

interface NamedUser {
  app: string;
  settings: readonly ProgramSetting[];
  /** Where the version is unpacked. */
  directory: string;
}

/**
 * Throws SUPERVISOR_PROGRAM_INVALID for a program that would have a part of root where programs run as somebody else,
 * unless a key vouches for that: as root itself, or by a log file elsewhere, which supervisord writes as root.
 */
export function assertUserAllowed(
  context: Pick<AgentContext, 'layout' | 'settings'>,
  { app, settings, directory }: NamedUser,
): void {
  const user = programUser(context);
  if (user === undefined) return;
  const isAllowed = (setting: ProgramSetting): boolean =>
    setting.key === 'user' ? !isRoot(setting.value) : isOwnLog(setting.value, context.layout.logDirectory);
  const taken = settings.find((setting) => GRANTS_ROOT.includes(setting.key) && !isAllowed(setting));
  if (taken === undefined || isSignedForRoot(context, app, directory)) return;
  throw new GweError(
    'SUPERVISOR_PROGRAM_INVALID',
    `cannot use supervisor.conf of '${app}': line ${taken.line ?? 1}: ${taken.key} is '${taken.value.slice(0, 60)}', expected ` +
      `${taken.key === 'user' ? 'none, or one that is not root' : `a file in ${context.layout.logDirectory}`}: programs run as '${user}' here; ` +
      "a signature by a key with 'powers: root', or programs_as=root, allows it",
  );
}

const GRANTS_ROOT: readonly string[] = ['user', 'stdout_logfile', 'stderr_logfile'];

/** A value known only to supervisord may be root. */
function isRoot(user: string): boolean {
  return user.includes('%') || findUser(user)?.uid === 0;
}

/** None at all, or directly in the directory of logs, where no link of the program's can be. */
function isOwnLog(path: string, logDirectory: string): boolean {
  if (/^(none|auto|syslog|\/dev\/(null|stdout|stderr))$/i.test(path)) return true;
  const name = path.startsWith(`${escapePercent(logDirectory)}/`)
    ? path.slice(escapePercent(logDirectory).length + 1)
    : '/';
  return !/\/|%\(ENV_/.test(name);
}

/** The signatures lie beside the one top-level directory until the version has got to its place. */
function isSignedForRoot(
  context: Pick<AgentContext, 'layout' | 'settings'>,
  app: string,
  directory: string,
): boolean {
  const keys = readGatewayKeys(context.layout).keys.filter(({ powers }) => powers?.includes('root') === true);
  const limits = artifactLimits(context.settings());
  return [directory, dirname(directory)].some((place) => {
    const bytes =
      keys.length === 0 ? undefined : readFileBounded(join(place, MANIFEST_PATH), limits.manifestBytes);
    const index = bytes === undefined ? undefined : readTreeIndex(place, manifestDigest(bytes), limits);
    if (index === undefined || index.manifest.name !== app) return false;
    return judgeSignatures(index, keys).some(({ verdict }) => verdict === 'good');
  });
}
