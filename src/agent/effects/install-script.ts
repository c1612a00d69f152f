/**
 * Runs an artifact's install.sh (or setup.py) and health.sh in its version directory (one-platform.md §4.6,
 * src/agent/README.md, "The path of an update").
 */

import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { childEnvironment, plainEnvironment, withoutProxyPasswords } from '../../base/child-environment.ts';
import { confine } from '../../base/confine.ts';
import { GweError } from '../../base/errors.ts';
import { assertStartable, renderOutput } from '../../base/script-process.ts';
import { appDataDirectory } from '../../store/layout.ts';
import { explainMissingModule } from '../../supervisor/original-modules.ts';
import { DATA_VARIABLE } from '../../supervisor/program.ts';
import { findUser, type User } from '../../supervisor/users.ts';
import type { Transaction } from '../../update/journal.ts';
import { keepUpdateLog, LARGEST_LOG_BYTES } from '../reports/update-log.ts';
import type { AgentContext } from '../run/context.ts';
import {
  type Earlier,
  findEarlier,
  MOST_CUT_OFF_RUNS,
  runTask,
  type ScriptEnding,
  type ScriptTask,
  TRANSACTION_VARIABLE,
} from './script-run.ts';

export interface ScriptRun {
  /** The transaction that it is run for, as the journal has it. */
  transaction: Transaction;
  app: string;
  version: string;
  /** The version directory: working directory, and GWE_APP_DIR. */
  directory: string;
  /** What was active before this version is, or is again: '' and `undefined` where nothing was. */
  previousVersion: string;
  previousDirectory: string | undefined;
  /** It has no program: what its install.sh does is all that it does. */
  isOneOff: boolean;
  /** gwe is to stop; the script keeps running, and the next start takes its result. */
  signal: AbortSignal;
  record(facts: Partial<Transaction>): void;
}

interface ScriptResult {
  exitCode: number;
  output: string;
  notes: string[];
}

/**
 * Runs the installer, or waits for one that outlived the gwe that began it. Throws INSTALL_FAILED or INSTALL_TIMEOUT
 * with the last line that it printed.
 */
export async function runInstaller(
  context: Pick<AgentContext, 'layout' | 'clock' | 'log' | 'env' | 'settings' | 'supervisor'>,
  run: ScriptRun,
): Promise<ScriptResult> {
  const isShell = existsSync(join(run.directory, 'install.sh'));
  const argv = isShell ? ['./install.sh'] : [findPython(context), 'setup.py', 'install'];
  const name = isShell ? 'install.sh' : 'setup.py';
  const task = makeTask(context, run, { name, argv, timeoutS: context.settings().installTimeoutS });
  const earlier = findEarlier(context, task);
  const reboot = judgeReboot(run, name, earlier);
  if (reboot !== undefined) return { exitCode: 0, output: '', notes: [reboot] };
  if (isShell && (earlier.kind === 'none' || earlier.kind === 'cut-off'))
    assertStartable(join(run.directory, name), `./${name}`);
  const ending = await runTask(context, task, earlier);
  const output = keepOutput(context, run, name, ending);
  return judge(name, run, ending, output);
}

/**
 * The gateway went down while the installer ran, perhaps because of it. A one-off has done its work then; one of a
 * program is run once more, and after that the program itself shows whether it works.
 */
function judgeReboot(
  { transaction, isOneOff }: ScriptRun,
  name: string,
  earlier: Earlier,
): string | undefined {
  if (earlier.kind !== 'cut-off' || earlier.isOfThisBoot) return undefined;
  // One that had come to its end before has not done it.
  if (transaction.state === 'installing' && transaction.exitCode !== undefined) return undefined;
  if (isOneOff) return `${name} rebooted the gateway: counted as done`;
  if (earlier.script.runs < MOST_CUT_OFF_RUNS) return undefined;
  return `${name} rebooted the gateway ${earlier.script.runs} times: counted as done`;
}

/** Runs health.sh if the version has one. Throws SUPERVISOR_UNHEALTHY if it does not exit 0 within its deadline. */
export async function runHealthScript(
  context: Pick<AgentContext, 'layout' | 'clock' | 'log' | 'env' | 'settings' | 'supervisor'>,
  run: ScriptRun,
): Promise<void> {
  const name = 'health.sh';
  if (!existsSync(join(run.directory, name))) return;
  const argv = [`./${name}`];
  const task = makeTask(context, run, { name, argv, timeoutS: context.settings().healthTimeoutS });
  const earlier = findEarlier(context, task);
  if (earlier.kind === 'none' || earlier.kind === 'cut-off')
    assertStartable(join(run.directory, name), `./${name}`);
  const ending = await runTask(context, task, earlier);
  const output = keepOutput(context, run, name, ending);
  if (ending.end.kind === 'exit' && ending.end.code === 0) return;
  throw new GweError(
    'SUPERVISOR_UNHEALTHY',
    `app '${run.app}' ${run.version} is not healthy: health.sh ${describeEnd(ending)}`,
    { said: lastLine(output) },
  );
}

function makeTask(
  context: Pick<AgentContext, 'layout' | 'env' | 'settings'>,
  run: ScriptRun,
  script: { name: string; argv: string[]; timeoutS: number },
): ScriptTask {
  const settings = context.settings();
  const user = scriptUser(context);
  // The environment of supervisord is not for another user: it may hold tokens of its unit.
  const given = user === undefined ? context.env : plainEnvironment(context.env);
  const env = childEnvironment(withoutProxyPasswords(given), {
    ...(user === undefined ? {} : { USER: user.name, LOGNAME: user.name, HOME: user.home }),
    GWE_APP_NAME: run.app,
    GWE_APP_VERSION: run.version,
    GWE_APP_DIR: run.directory,
    [TRANSACTION_VARIABLE]: run.transaction.id,
    GWE_PREVIOUS_DIR: run.previousDirectory ?? '',
    GWE_PREVIOUS_VERSION: run.previousVersion,
    [DATA_VARIABLE]: appDataDirectory(context.layout, run.app),
  });
  const limits = {
    cpuS: settings.limitCpuS,
    memoryBytes: settings.limitMemoryBytes,
    processes: settings.limitProcesses,
    fileBytes: settings.limitFileBytes,
  };
  const { transaction, signal, record } = run;
  const identity = user === undefined ? undefined : { uid: user.uid, gid: user.gid };
  return {
    argv: confine(script.argv, limits),
    name: script.name,
    transaction,
    options: { cwd: run.directory, env, user: identity },
    timeoutMs: script.timeoutS * 1000,
    signal,
    record,
  };
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

function judge(name: string, run: ScriptRun, ending: ScriptEnding, output: string): ScriptResult {
  const { end, notes } = ending;
  if (end.kind === 'exit' && end.code === 0) return { exitCode: 0, output, notes };
  throw new ScriptFailure(
    end.kind === 'timeout' ? 'INSTALL_TIMEOUT' : 'INSTALL_FAILED',
    `cannot install '${run.app}' ${run.version}: ${name} ${describeEnd(ending)}${explainMissingModule(output)}`,
    end.kind === 'exit' ? end.code : -1,
    output,
  );
}

/** A failed installer, with what the report shows of it. */
export class ScriptFailure extends GweError {
  readonly exitCode: number;
  readonly output: string;
  constructor(code: 'INSTALL_TIMEOUT' | 'INSTALL_FAILED', message: string, exitCode: number, output: string) {
    super(code, message, { facts: { exitCode }, said: lastLine(output) });
    this.exitCode = exitCode;
    this.output = output;
  }
}

/** Puts what a script printed into the log of its update; what the report may have of it. */
function keepOutput(
  context: Pick<AgentContext, 'layout' | 'clock' | 'log' | 'settings'>,
  run: ScriptRun,
  name: string,
  ending: ScriptEnding,
): string {
  const { maxOutputBytes } = context.settings();
  const what = `${name} of ${run.app} ${run.version} ${describeEnd(ending)}`;
  if (maxOutputBytes > 0)
    keepUpdateLog(context, run.transaction.id, what, renderOutput(ending.output, LARGEST_LOG_BYTES));
  return renderOutput(ending.output, maxOutputBytes);
}

/** Every way in which a script can end has one sentence. */
function describeEnd({ end }: ScriptEnding): string {
  switch (end.kind) {
    case 'exit': {
      const signal = signalOf(end.code);
      if (signal !== undefined) return `was ended by ${signal} (status ${end.code}), expected exit status 0`;
      return `exited with status ${end.code}, expected 0`;
    }
    case 'lost':
      return 'was ended together with the shell that gwe ran it with, expected exit status 0';
    case 'timeout':
      return `did not end within ${Math.round(end.afterMs / 1000)} s and was killed together with its session`;
  }
}

/** A shell tells a signal by a status of 128 and its number. */
function signalOf(status: number): string | undefined {
  return Object.entries(constants.signals).find(([, number]) => status === 128 + number)?.[0];
}

function lastLine(output: string): string {
  const line = output.trim().split('\n').at(-1)?.trim() ?? '';
  return line === '' ? 'it printed nothing' : `its last line: ${line.slice(0, 300)}`;
}

function findPython(context: Pick<AgentContext, 'env'>): string {
  const names = ['python', 'python3', 'python2'];
  const paths = (context.env.PATH ?? '/usr/local/bin:/usr/bin:/bin').split(':');
  const found = names.find((name) => paths.some((path) => existsSync(join(path, name))));
  if (found !== undefined) return found;
  throw new GweError(
    'INSTALL_FAILED',
    'cannot run setup.py: this gateway has no Python; expected python or python3',
  );
}
