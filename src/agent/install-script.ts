/** Runs an artifact's install.sh (or setup.py) and health.sh in its version directory (spec §4.6, design.md §5). */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { confine } from '../base/confine.ts';
import { GweError } from '../base/errors.ts';
import {
  bootId,
  endGroup,
  groupMembers,
  groupsByEnvironment,
  type RunResult,
  readProcessStat,
  runProcess,
} from '../base/process.ts';
import { findUser, type User } from '../supervisor/users.ts';
import type { Transaction } from '../update/journal.ts';
import type { AgentContext } from './context.ts';
import { childEnvironment, withoutProxyPasswords } from './environment.ts';
import { keepUpdateLog, LARGEST_LOG_BYTES } from './update-log.ts';

const GRACE_MS = 5000;
/** By it a script is found again whose start the journal had no time to note. */
const TRANSACTION_VARIABLE = 'GWE_TRANSACTION';

export interface ScriptRun {
  /** Id of the transaction it is run for. */
  transaction: string;
  app: string;
  version: string;
  /** The version directory: working directory, and GWE_APP_DIR. */
  directory: string;
  previousDirectory: string | undefined;
  signal?: AbortSignal;
  onStart?(script: NonNullable<Transaction['script']>): void;
}

export interface ScriptResult {
  exitCode: number;
  output: string;
  notes: string[];
}

/** Runs the installer. Throws INSTALL_FAILED or INSTALL_TIMEOUT with the last line that it printed. */
export async function runInstaller(context: AgentContext, run: ScriptRun): Promise<ScriptResult> {
  const isShell = existsSync(join(run.directory, 'install.sh'));
  const argv = isShell ? ['./install.sh'] : [findPython(context), 'setup.py', 'install'];
  const { signal, ...unstoppable } = run;
  const running = runScript(context, unstoppable, argv, context.settings().installTimeoutS * 1000);
  const result = await orStopped(running, signal, run.app);
  const name = isShell ? 'install.sh' : 'setup.py';
  keepLog(context, run, name, result);
  return judge(name, run, result);
}

/**
 * When gwe is told to stop it leaves the installer alone: what stops gwe may be the installer itself, in the middle of
 * `supervisorctl restart gwe`, and ending that would leave gwe stopped for good. The next start ends what is left.
 */
async function orStopped(
  running: Promise<RunResult>,
  signal: AbortSignal | undefined,
  app: string,
): Promise<RunResult> {
  const settled = new AbortController();
  const stopped = new Promise<never>((_resolve, reject) => {
    const stop = (): void =>
      reject(
        new GweError(
          'CANCELLED',
          `stopped while install.sh of '${app}' runs: the next start ends it and runs it again`,
        ),
      );
    signal?.addEventListener('abort', stop, { signal: settled.signal });
    if (signal?.aborted === true) stop();
  });
  running.catch(() => undefined);
  try {
    return await Promise.race([running, stopped]);
  } finally {
    settled.abort();
  }
}

/** Runs health.sh if the version has one. Throws SUPERVISOR_UNHEALTHY if it does not exit 0 within its deadline. */
export async function runHealthScript(context: AgentContext, run: ScriptRun): Promise<void> {
  if (!existsSync(join(run.directory, 'health.sh'))) return;
  const result = await runScript(context, run, ['./health.sh'], context.settings().healthTimeoutS * 1000);
  keepLog(context, run, 'health.sh', result);
  if (result.end.kind === 'exit' && result.end.code === 0) return;
  throw new GweError(
    'SUPERVISOR_UNHEALTHY',
    `app '${run.app}' ${run.version} is not healthy: health.sh ${describeEnd(result)}${lastLine(result.output)}`,
  );
}

/**
 * Ends what is left of an installer that outlived a killed gwe, and waits until it is gone: its journalled group, and
 * whatever else was started for this transaction, since the kill may have come before the journal knew of it.
 */
export async function endOrphan(
  context: AgentContext,
  { id, script }: Pick<Transaction, 'id' | 'script'>,
): Promise<boolean> {
  const place = `GWE_APP_DIR=${context.layout.appsDirectory}/`;
  const isOfIt = (environment: readonly string[]): boolean =>
    environment.includes(`${TRANSACTION_VARIABLE}=${id}`) &&
    environment.some((entry) => entry.startsWith(place));
  const groups = new Set(groupsByEnvironment(isOfIt));
  if (script !== undefined && isStillOurs(script)) groups.add(script.pid);
  for (const group of groups) await endGroup(group, GRACE_MS, context.clock);
  return groups.size > 0;
}

function isStillOurs(script: NonNullable<Transaction['script']>): boolean {
  if (script.bootId !== bootId()) return false;
  const leader = readProcessStat(script.pid);
  const isSame = leader === undefined || leader.startTicks === script.startTicks;
  return isSame && groupMembers(script.pid).length > 0;
}

function runScript(
  context: AgentContext,
  run: ScriptRun,
  argv: string[],
  timeoutMs: number,
): Promise<RunResult> {
  const settings = context.settings();
  const user = scriptUser(context);
  const env = childEnvironment(withoutProxyPasswords(context.env), {
    ...(user === undefined ? {} : { USER: user.name, LOGNAME: user.name, HOME: user.home }),
    GWE_APP_NAME: run.app,
    GWE_APP_VERSION: run.version,
    GWE_APP_DIR: run.directory,
    [TRANSACTION_VARIABLE]: run.transaction,
    GWE_PREVIOUS_DIR: run.previousDirectory ?? '',
  });
  const limits = {
    cpuS: settings.limitCpuS,
    memoryBytes: settings.limitMemoryBytes,
    processes: settings.limitProcesses,
    fileBytes: settings.limitFileBytes,
  };
  return runProcess(confine(argv, limits), {
    cwd: run.directory,
    env,
    timeoutMs,
    graceMs: GRACE_MS,
    captureBytes: settings.maxOutputBytes,
    logBytes: settings.maxOutputBytes === 0 ? 0 : LARGEST_LOG_BYTES,
    clock: context.clock,
    ...(user === undefined ? {} : { user: { uid: user.uid, gid: user.gid } }),
    ...(run.signal === undefined ? {} : { signal: run.signal }),
    onStart: (pid) =>
      run.onStart?.({ pid, startTicks: readProcessStat(pid)?.startTicks ?? '0', bootId: bootId() }),
  });
}

/** Whom `run_as` names; `undefined` where gwe is that user already. Throws CONFIG_INVALID if there is none. */
export function scriptUser(context: Pick<AgentContext, 'settings'>): User | undefined {
  const { runAs } = context.settings();
  if (runAs === '') return undefined;
  const user = findUser(runAs);
  const uid = process.getuid?.();
  if (user?.uid === uid) return undefined;
  if (user !== undefined && uid === 0) return user;
  throw new GweError(
    'CONFIG_INVALID',
    `cannot run install.sh as '${runAs.slice(0, 60)}' (run_as): ${
      user === undefined ? 'no such user in /etc/passwd' : 'gwe does not run as root'
    }; set run_as to a user of this gateway`,
  );
}

function judge(name: string, run: ScriptRun, result: RunResult): ScriptResult {
  const { end } = result;
  if (end.kind === 'exit' && end.code === 0) {
    const left = `${name} left ${result.leftBehind} process(es) behind: ended (use supervisor.conf for programs)`;
    return { exitCode: 0, output: result.output, notes: result.leftBehind > 0 ? [left] : [] };
  }
  if (end.kind === 'cancelled')
    throw new GweError('CANCELLED', `${name} of '${run.app}' was ended: gwe is stopping`);
  throw new ScriptFailure(
    end.kind === 'timeout' ? 'INSTALL_TIMEOUT' : 'INSTALL_FAILED',
    `cannot install '${run.app}' ${run.version}: ${name} ${describeEnd(result)}${lastLine(result.output)}`,
    end.kind === 'exit' ? end.code : -1,
    result.output,
  );
}

/** A failed installer, with what the report shows of it. */
export class ScriptFailure extends GweError {
  readonly exitCode: number;
  readonly output: string;
  constructor(code: 'INSTALL_TIMEOUT' | 'INSTALL_FAILED', message: string, exitCode: number, output: string) {
    super(code, message, { facts: { exitCode } });
    this.exitCode = exitCode;
    this.output = output;
  }
}

function keepLog(context: AgentContext, run: ScriptRun, name: string, result: RunResult): void {
  const what = `${name} of ${run.app} ${run.version} ${describeEnd(result)}`;
  keepUpdateLog(context, run.transaction, what, result.log);
}

/** Every way in which a child can end has one sentence. */
function describeEnd({ end }: RunResult): string {
  switch (end.kind) {
    case 'exit':
      return `exited with status ${end.code}, expected 0`;
    case 'signal':
      return `was ended by ${end.signal}, expected exit status 0`;
    case 'timeout':
      return `did not end within ${Math.round(end.afterMs / 1000)} s and was killed with its whole process group`;
    case 'cancelled':
      return 'was ended because gwe is stopping';
  }
}

function lastLine(output: string): string {
  const line = output.trim().split('\n').at(-1)?.trim() ?? '';
  return line === '' ? '; it printed nothing' : `; its last line: ${line.slice(0, 300)}`;
}

function findPython(context: AgentContext): string {
  const names = ['python', 'python3', 'python2'];
  const paths = (context.env.PATH ?? '/usr/local/bin:/usr/bin:/bin').split(':');
  const found = names.find((name) => paths.some((path) => existsSync(join(path, name))));
  if (found !== undefined) return found;
  throw new GweError(
    'INSTALL_FAILED',
    'cannot run setup.py: this gateway has no Python; expected python or python3',
  );
}
