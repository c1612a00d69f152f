/** Whether an app's program, once started, stays up. */
import type { Clock } from '../base/clock.ts';
import { GweError } from '../base/errors.ts';
import { iniValue, parseIni } from '../base/ini.ts';
import { readProcessStat } from '../base/process.ts';
import type { ProcessInfo, SupervisorClient } from './client.ts';
import { programOwner } from './data-directory.ts';
import { findMarked } from './leftovers.ts';
import { explainMissingModule } from './original-modules.ts';
import { groupProcesses } from './programs.ts';
import { readBoolean } from './values.ts';

export interface HealthOptions {
  /** How long every process must hold RUNNING, without a restart. */
  settleMs: number;
  /** From now; a program that is not up by then is unhealthy. Longer than `settleMs`. */
  deadlineMs: number;
  clock: Clock;
  signal?: AbortSignal;
  /** Run once the processes have settled; throws if the app is not well. */
  runHealthScript?(): Promise<void>;
  /** The program entry: says which ends are expected. Without it supervisord's defaults are assumed. */
  programText?: string;
}

/** `finished`: a one-off program that ended as it should. `not-started`: autostart = false. */
type HealthVerdict = 'healthy' | 'finished' | 'not-started';

const POLL_MS = 250;
const RESTARTS_ALLOWED = 3;
const LOG_TAIL_BYTES = 2048;

/**
 * Resolves once the app's program has proven itself. Throws SUPERVISOR_UNHEALTHY with state, exit status and the end
 * of its log when it is the app's fault, SUPERVISOR_UNREACHABLE when supervisord did not answer until the
 * deadline, CANCELLED when `signal` aborts.
 */
export async function waitUntilHealthy(
  client: SupervisorClient,
  app: string,
  options: HealthOptions,
): Promise<HealthVerdict> {
  const traits = programTraits(app, options.programText ?? '', await usualExitCodes(client));
  const watch = createWatch(traits);
  const verdict = await settle(client, app, options, watch);
  if (verdict === 'healthy' && options.runHealthScript !== undefined) {
    await options.runHealthScript();
    const restartsBefore = watch.restarts;
    await settle(client, app, options, watch);
    if (watch.restarts > restartsBefore || !allAlive(watch))
      throw await diedOfScript(client, judgedOf(app, options));
  }
  return verdict;
}

async function settle(
  client: SupervisorClient,
  app: string,
  options: HealthOptions,
  watch: Watch,
): Promise<HealthVerdict> {
  const { clock, signal } = options;
  const endMs = clock.monotonicMs() + options.deadlineMs;
  for (;;) {
    if (signal?.aborted) throw new GweError('CANCELLED', `cannot wait for program '${app}': cancelled`);
    const seen = await observe(client, app, watch);
    const judged =
      seen.processes === undefined ? 'wait' : judge(seen.processes, watch, options.settleMs, clock);
    if (judged === 'healthy' || judged === 'finished' || judged === 'not-started') return judged;
    const isLate = clock.monotonicMs() >= endMs;
    if (judged !== 'wait')
      throw await unhealthy(client, judgedOf(app, options), judged.failed, judged.reason);
    if (isLate && seen.processes === undefined) throw seen.error;
    if (isLate) throw await tooLate(client, judgedOf(app, options), seen.processes ?? [], options);
    await clock.sleep(POLL_MS, signal);
  }
}

function judgedOf(app: string, { programText }: HealthOptions): Judged {
  return { app, owner: programOwner(programText ?? '')?.uid };
}

type Sight = { processes: ProcessInfo[] } | { processes: undefined; error: unknown };

/** What supervisord says; its absence is not the app's fault, and what was seen before no longer counts. */
async function observe(client: SupervisorClient, app: string, watch: Watch): Promise<Sight> {
  try {
    return { processes: await groupProcesses(client, app) };
  } catch (error) {
    if (!(error instanceof GweError) || error.code !== 'SUPERVISOR_UNREACHABLE') throw error;
    watch.held.clear();
    return { processes: undefined, error };
  }
}

interface ProgramTraits {
  autostart: boolean;
  autorestart: 'always' | 'unexpected' | 'never';
  exitCodes: number[];
}

/** What supervisord takes for an expected end where the entry says nothing: version 4 dropped the 2. */
async function usualExitCodes(client: SupervisorClient): Promise<string> {
  const version = await client.getVersion().catch(() => '');
  return version.startsWith('3.') ? '0,2' : '0';
}

function programTraits(app: string, text: string, exitCodes: string): ProgramTraits {
  const document = parseIni(text);
  const option = (key: string): string | undefined => iniValue(document, `program:${app}`, key);
  const restart = readBoolean(option('autorestart') ?? '');
  return {
    autostart: readBoolean(option('autostart') ?? 'true') ?? true,
    autorestart: restart === undefined ? 'unexpected' : restart ? 'always' : 'never',
    exitCodes: (option('exitcodes') ?? exitCodes)
      .split(',')
      .filter((code) => code.trim() !== '')
      .map(Number),
  };
}

interface Held {
  pid: number;
  start: number;
  sinceMs: number;
}

interface Watch {
  traits: ProgramTraits;
  /** By process name: the run that is held RUNNING. */
  held: Map<string, Held>;
  restarts: number;
}

function createWatch(traits: ProgramTraits): Watch {
  return { traits, held: new Map(), restarts: 0 };
}

/** Whose program it is, and as which user it runs. */
interface Judged {
  app: string;
  owner: number | undefined;
}

type Judgement = HealthVerdict | 'wait' | { failed: ProcessInfo; reason: string };

function judge(processes: readonly ProcessInfo[], watch: Watch, settleMs: number, clock: Clock): Judgement {
  if (processes.length === 0) return 'wait';
  const judged = processes.map((info) => judgeProcess(info, watch, settleMs, clock.monotonicMs()));
  const failed = judged.find((one) => typeof one === 'object');
  if (failed !== undefined) return failed;
  if (judged.includes('wait')) return 'wait';
  if (judged.includes('healthy')) return 'healthy';
  return judged.includes('finished') ? 'finished' : 'not-started';
}

function judgeProcess(info: ProcessInfo, watch: Watch, settleMs: number, nowMs: number): Judgement {
  switch (info.statename) {
    case 'RUNNING':
      return judgeRunning(info, watch, settleMs, nowMs);
    case 'FATAL':
      return { failed: info, reason: 'it cannot be started' };
    case 'EXITED':
      return judgeExited(info, watch);
    case 'STOPPED':
      return watch.traits.autostart ? lost(info, watch) : 'not-started';
    default:
      return lost(info, watch);
  }
}

function judgeRunning(info: ProcessInfo, watch: Watch, settleMs: number, nowMs: number): Judgement {
  const held = watch.held.get(info.name);
  if (held !== undefined && held.pid === info.pid && held.start === info.start) {
    return nowMs - held.sinceMs >= settleMs ? 'healthy' : 'wait';
  }
  const judged = held === undefined ? 'wait' : lost(info, watch);
  watch.held.set(info.name, { pid: info.pid, start: info.start, sinceMs: nowMs });
  return judged;
}

function judgeExited(info: ProcessInfo, watch: Watch): Judgement {
  const { autorestart, exitCodes } = watch.traits;
  const isExpected = exitCodes.includes(info.exitstatus);
  if (isExpected && autorestart !== 'always') return 'finished';
  if (autorestart === 'never') return { failed: info, reason: 'it ended, and will not be started again' };
  return lost(info, watch);
}

/** Not RUNNING (any more): settling begins again, but not endlessly. */
function lost(info: ProcessInfo, watch: Watch): Judgement {
  if (watch.held.delete(info.name)) watch.restarts++;
  return watch.restarts >= RESTARTS_ALLOWED
    ? { failed: info, reason: `it was restarted ${watch.restarts} times` }
    : 'wait';
}

/** supervisord may take a second to notice a death; the kernel knows at once. */
function allAlive(watch: Watch): boolean {
  return [...watch.held.values()].every(({ pid }) => {
    const stat = readProcessStat(pid);
    return stat !== undefined && stat.state !== 'Z';
  });
}

async function diedOfScript(client: SupervisorClient, judged: Judged): Promise<GweError> {
  const [info] = await groupProcesses(client, judged.app);
  const reason = 'it did not survive health.sh';
  if (info !== undefined) return unhealthy(client, judged, info, reason);
  return new GweError('SUPERVISOR_UNHEALTHY', `program '${judged.app}' is not healthy: ${reason}`);
}

async function tooLate(
  client: SupervisorClient,
  judged: Judged,
  processes: readonly ProcessInfo[],
  options: HealthOptions,
): Promise<GweError> {
  const [failed] = processes.filter((info) => info.statename !== 'RUNNING').concat(processes);
  const reason = `not up for ${options.settleMs} ms within ${options.deadlineMs} ms`;
  if (failed !== undefined) return unhealthy(client, judged, failed, reason);
  return new GweError(
    'SUPERVISOR_UNHEALTHY',
    `program '${judged.app}' is not healthy: supervisord does not know it, expected its entry to be active`,
  );
}

async function unhealthy(
  client: SupervisorClient,
  { app, owner }: Judged,
  info: ProcessInfo,
  reason: string,
): Promise<GweError> {
  const name = info.group === info.name ? info.name : `${info.group}:${info.name}`;
  const details = [info.statename, reason];
  if (info.spawnerr !== '') details.push(info.spawnerr);
  // For a process that ended within its startsecs, supervisord forgets the exit status and says 0.
  if (info.statename === 'EXITED') {
    details.push(info.exitstatus === -1 ? 'ended by a signal' : `exit status ${info.exitstatus}`);
  }
  const log = await client.readLogTail(name, LOG_TAIL_BYTES).catch(() => '');
  const tail = lastLines(log);
  const left = info.statename === 'RUNNING' ? [] : findMarked({ app, owner, address: client.address });
  if (left.length > 0) {
    details.push(
      `it ended and left ${left.length} process(es) running (pid ${left.map(({ pid }) => pid).join(', ')}): ` +
        'a program under supervisord has to stay in the foreground, so give its command the option for that',
    );
  }
  return new GweError(
    'SUPERVISOR_UNHEALTHY',
    `program '${app}' is not healthy: ${details.join(', ').replace(/[\s\p{Cc}]+/gu, ' ')}${explainMissingModule(log)}`,
    {
      facts: { state: info.statename, exitStatus: info.exitstatus, process: name },
      said: tail === '' ? undefined : `its log ends: ${tail.replace(/[\s\p{Cc}]+/gu, ' ')}`,
    },
  );
}

/** The last lines of a log, in little room. */
function lastLines(log: string): string {
  return log
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .slice(-3)
    .join(' | ')
    .slice(-400);
}
