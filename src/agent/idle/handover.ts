import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import * as v from 'valibot';
import { uptimeMs } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import { findExecve, leaveRemovedDirectory } from '../../base/execve.ts';
import { removeIfPossible } from '../../base/fs.ts';
import { bootId } from '../../base/process.ts';
import { type StoredFile, storedFile } from '../../base/stored-file.ts';
import { loadEngineConfig } from '../../config/config-files.ts';
import { LAUNCHED_VARIABLE, readStarts } from '../../service/starts.ts';
import type { Layout } from '../../store/layout.ts';
import type { AgentContext } from '../run/context.ts';
import { IDLE_SHELL, idleArguments, WOKEN_VARIABLE, type WokenBy } from './idle-script.ts';

/**
 * Between check-ins gwe hands its pid to a shell asleep and comes back in time (src/packaging/README.md, "Idle").
 * Whoever looks on sees one process: supervisord's program runs on, the lock names the same owner, the same signals do
 * the same.
 */

const LARGEST_MEMORY_BYTES = 64 * 1024;

const CountSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const MemorySchema = v.object({
  version: v.literal(1),
  pid: v.number(),
  bootId: v.string(),
  gweVersion: v.string(),
  /** On the clock that starts at boot. */
  startedUptimeMs: v.number(),
  dueUptimeMs: v.number(),
  schedule: v.object({ failures: CountSchema, wishMs: v.number() }),
  /** Who this gateway was. */
  whose: v.optional(v.string()),
  hybrid: v.object({ state: v.picklist(['unproven', 'works', 'refused']), emptyAnswers: CountSchema }),
  reports: v.object({
    isInDoubt: v.boolean(),
    hasToldUndefined: v.boolean(),
    toldWithoutDisk: v.array(v.string()),
  }),
});
type Memory = v.InferOutput<typeof MemorySchema>;

/** What a process knows that is in no file yet. */
export type AgentMemory = Pick<
  Memory,
  'startedUptimeMs' | 'dueUptimeMs' | 'schedule' | 'whose' | 'hybrid' | 'reports'
>;

/** What only the entry of the program can do. */
export interface ProcessControl {
  /** gwe's own command line, the program first; `undefined` where gwe is no executable of its own. */
  command: readonly string[] | undefined;
  /** Is given a function that asks for a check-in at once (SIGHUP). */
  onWake(wake: () => void): void;
  /** From now on signals end the process, as if nobody listened; those that came before have been heard. */
  releaseSignals(): void;
  /** Listens again. */
  holdSignals(): void;
}

/** The run that this process goes on with. */
export interface Woken {
  memory: AgentMemory;
  wokenBy: WokenBy;
}

export interface HandoverParts {
  context: Pick<
    AgentContext,
    'layout' | 'log' | 'env' | 'gweVersion' | 'settings' | 'watcher' | 'clockFloor'
  >;
  /** The first time of this run is worth a line in the log. */
  isFirst: boolean;
  control: ProcessControl;
  /** The line that this process would log at its end, before and after the time. */
  lastWords: readonly [before: string, after: string];
  /** Asked for the last time before the process is given up. */
  isWanted(): boolean;
}

/** `undefined` for a process whose run begins with it. */
export function takeMemory(context: Pick<AgentContext, 'layout' | 'env' | 'gweVersion'>): Woken | undefined {
  const wokenBy = context.env[WOKEN_VARIABLE];
  if (wokenBy !== 'time' && wokenBy !== 'signal') return undefined;
  const memory = readMemory(context.layout);
  const isOurs =
    memory?.pid === process.pid && memory.bootId === bootId() && memory.gweVersion === context.gweVersion;
  return isOurs ? { memory, wokenBy } : undefined;
}

/** To be called by a process that has the lock: what another one had to remember is nobody's any more. */
export function dropMemory(layout: Layout): void {
  if (existsSync(layout.handover)) removeIfPossible(layout.handover);
}

/** Whether the agent `pid` sleeps in a shell. */
export function isAsleep(layout: Layout, pid: number): boolean {
  return readMemory(layout)?.pid === pid;
}

/** Whether this gwe can do it now, and a pause of `delayMs` is worth it. */
export function canHandOver({ context, control }: HandoverParts, delayMs: number): boolean {
  const settings = context.settings();
  return (
    settings.idleHandover === 'auto' &&
    delayMs > settings.idleThresholdS * 1000 &&
    control.command !== undefined &&
    findExecve() !== undefined &&
    existsSync(IDLE_SHELL) &&
    isConfigurationSound(context) &&
    !context.watcher.isOpen() &&
    context.clockFloor.isSettled() &&
    isConfirmed(context)
  );
}

/** A gwe that has yet to prove itself is counted by the launcher: its starts must be starts. */
function isConfirmed({ env, layout }: Pick<AgentContext, 'layout' | 'env'>): boolean {
  const launched = env[LAUNCHED_VARIABLE];
  return launched === undefined || readStarts(layout).confirmed === launched;
}

/** A process that stays goes on by the settings that it read last; one that comes back has none of those. */
function isConfigurationSound({ layout }: Pick<AgentContext, 'layout'>): boolean {
  try {
    loadEngineConfig(layout.engineConfig);
    return true;
  } catch {
    return false;
  }
}

/**
 * Becomes the shell. Returns true when that is not wanted any more, false when it cannot be: the process goes on as it
 * is then.
 *
 * The signals in between: those that the kernel has delivered are known when the listeners have gone, and from then on
 * until the shell has set its traps a signal ends the process, as it does while the runtime starts on the way back. So none is slept over: SIGTERM wants just that, and after SIGHUP whoever runs gwe
 * starts it again, and it checks in (`gwe check-in` leaves a mark and waits until the signal is safe).
 */
export async function handOver(parts: HandoverParts, memory: AgentMemory): Promise<boolean> {
  const { context, control } = parts;
  const { layout, log } = context;
  const execve = findExecve();
  if (execve === undefined || control.command === undefined) return false;
  let isPossible = true;
  try {
    saveMemory(context, memory);
    const seconds = Math.max(1, Math.ceil((memory.dueUptimeMs - uptimeMs()) / 1000));
    log[parts.isFirst ? 'info' : 'debug'](
      'agent.handover',
      { seconds },
      'until then a shell sleeps in its place',
    );
    const argv = idleArguments({
      seconds,
      lock: layout.agentLock,
      memory: layout.handover,
      mark: layout.wakeMark,
      lastWords: parts.lastWords,
      command: comeBackBy(context, control.command),
    });
    const env = sleeperEnvironment(context.env);
    leaveRemovedDirectory();
    await turnOfEventLoop();
    control.releaseSignals();
    if (parts.isWanted()) execve(IDLE_SHELL, argv, env);
  } catch (error) {
    isPossible = false;
    log.warn('agent.handover', {}, `${describeError(error)}; this process stays`);
  }
  control.holdSignals();
  dropMemory(layout);
  return isPossible;
}

/** After it every signal that came before it has been heard: the first half ends the turn that is under way. */
async function turnOfEventLoop(): Promise<void> {
  for (const _half of [1, 2]) await new Promise((resolve) => setImmediate(resolve));
}

/** By way of the launcher where there is one: the version to run may have changed meanwhile. */
function comeBackBy(
  { env, layout }: Pick<AgentContext, 'layout' | 'env'>,
  [program = '', ...rest]: readonly string[],
): string[] {
  return [env[LAUNCHED_VARIABLE] === undefined ? program : resolve(layout.launcher), ...rest];
}

/**
 * What the gwe to come needs to be as it was: everything it was started with, since install scripts get to see it. What
 * the launcher or the shell sets again is left out, and so does what would change the shell.
 */
function sleeperEnvironment(env: AgentContext['env']): Record<string, string> {
  const left = new Set([WOKEN_VARIABLE, LAUNCHED_VARIABLE, 'ENV', 'BASH_ENV', 'LD_PRELOAD', 'LD_AUDIT']);
  const kept = Object.entries(env).filter(
    (pair): pair is [string, string] => pair[1] !== undefined && !left.has(pair[0]),
  );
  return Object.fromEntries(kept);
}

function saveMemory(context: Pick<AgentContext, 'layout' | 'gweVersion'>, memory: AgentMemory): void {
  const { layout, gweVersion } = context;
  const whole: Memory = { version: 1, pid: process.pid, bootId: bootId(), gweVersion, ...memory };
  memoryFile(layout).write(whole);
}

function readMemory(layout: Layout): Memory | undefined {
  return memoryFile(layout).readOr(undefined);
}

function memoryFile(layout: Layout): StoredFile<Memory> {
  return storedFile(layout.handover, { schema: MemorySchema, limitBytes: LARGEST_MEMORY_BYTES, mode: 0o600 });
}
