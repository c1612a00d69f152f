/** A gateway for the update core alone: effects are scripted, disk and journal are in memory, nothing takes time. */
import type { Clock } from '../../src/base/clock.ts';
import type { LogFields, Logger } from '../../src/base/log.ts';
import type { Journal, Transaction } from '../../src/update/journal.ts';
import type { EffectContext, EffectResult, UpdateEffects } from '../../src/update/ports.ts';
import { type NewTransaction, outcomeOf, type RunnerDependencies } from '../../src/update/runner.ts';
import { WORKING_STATES, type WorkingState } from '../../src/update/state-machine.ts';

/** The power goes: whatever runs stops there, and the next start has what the journal holds. */
export class PowerCut extends Error {}

/** What the effect of a state does instead of its work, the first time, the second time, ... */
export type Script = Partial<Record<WorkingState, readonly Act[]>>;
export type Act = EffectResult | Error | 'cut' | 'cut-after' | 'stop' | 'cancel';

export interface World {
  /** Every state that the journal was given, in order, each once in a row. */
  chain: string[];
  /** Outcome of each closed transaction. */
  reports: string[];
  /** What `current` points at. */
  active: string;
  /** Runs of each effect. */
  runs: Partial<Record<WorkingState, number>>;
  cleanUps: number;
  journal: Journal;
  log: string[];
  /** What a start of gwe has: a new signal, the same disk. */
  start(): RunnerDependencies;
}

export interface WorldOptions {
  script?: Script;
  /** Times that `makeRoom` can give room. */
  room?: number;
  /** Called before each journal write; what it throws is what the disk says. */
  onWrite?(transaction: Transaction, write: number): void;
  onClose?(transaction: Transaction): void;
  /** States from which a cancel comes too late. */
  beyondCancel?: readonly string[];
}

export const NEW: NewTransaction = {
  id: 'tx1',
  app: 'app',
  version: 'new',
  contentId: 'app.vnew.tar.gz',
  source: { kind: 'content' },
  commandDigest: 'c'.repeat(64),
};

const DIGEST = 'd'.repeat(64);

export function createWorld(options: WorldOptions = {}): World {
  let stored: string | undefined;
  let writes = 0;
  let room = options.room ?? 0;
  const world: World = {
    chain: [],
    reports: [],
    active: 'old',
    runs: {},
    cleanUps: 0,
    log: [],
    journal: {
      read: () => (stored === undefined ? undefined : (JSON.parse(stored) as Transaction)),
      write(transaction) {
        writes += 1;
        options.onWrite?.(transaction, writes);
        stored = JSON.stringify(transaction);
        if (world.chain.at(-1) !== transaction.state) world.chain.push(transaction.state);
      },
      setAside: () => '',
    },
    start() {
      const stop = new AbortController();
      const cancel = new AbortController();
      return {
        journal: world.journal,
        clock: stillClock(),
        log: recordingLogger(world.log),
        signal: stop.signal,
        ports: {
          effects: scriptedEffects(world, options.script ?? {}, { stop, cancel }),
          watchCancel: () => ({ signal: cancel.signal, end: () => undefined }),
          isBeyondCancel: ({ state }) => options.beyondCancel?.includes(state) === true,
          recordEnd(transaction) {
            options.onClose?.(transaction);
            world.reports.push(outcomeOf(transaction));
          },
          makeRoom: () => room-- > 0,
          cleanUp() {
            world.cleanUps += 1;
          },
        },
      };
    },
  };
  return world;
}

function scriptedEffects(
  world: World,
  script: Script,
  { stop, cancel }: { stop: AbortController; cancel: AbortController },
): UpdateEffects {
  const effectOf = (state: WorkingState) => async (context: EffectContext) => {
    const run = world.runs[state] ?? 0;
    world.runs[state] = run + 1;
    const act = script[state]?.[run];
    if (act === 'cut') throw cutOff(stop);
    if (act === 'stop') throw stopped(stop);
    if (act === 'cancel') throw stopped(cancel);
    if (act instanceof Error) throw act;
    const result = act !== undefined && typeof act === 'object' ? withDigest(act) : usual(state);
    doWork(world, state, context);
    if (act === 'cut-after') throw cutOff(stop);
    return result;
  };
  return Object.fromEntries(WORKING_STATES.map((state) => [state, effectOf(state)])) as UpdateEffects;
}

function doWork(world: World, state: WorkingState, { transaction }: EffectContext): void {
  if (state === 'activating') world.active = transaction.version;
  if (state === 'rolling-back') world.active = transaction.previous?.version ?? 'none';
}

/** Bytes that are not fetched are those of a version whose digest is known. */
function withDigest(result: EffectResult): EffectResult {
  return result.event === 'skip-fetch' ? { ...result, learnt: { digest: DIGEST, ...result.learnt } } : result;
}

function usual(state: WorkingState): EffectResult {
  const previous = {
    version: 'old',
    digest: 'e'.repeat(64),
    contentId: 'app.vold.tar.gz',
    hasProgram: true,
    installedAtMs: 1,
  };
  if (state === 'planned') return { event: 'done', learnt: { previous } };
  if (state === 'downloading') return { event: 'done', learnt: { digest: DIGEST } };
  return { event: 'done' };
}

/** The runner lets nothing pass but where it was asked to stop; a cut is told apart by its class. */
function cutOff(stop: AbortController): Error {
  stop.abort();
  return new PowerCut('the power is gone');
}

function stopped(stop: AbortController): Error {
  stop.abort();
  return new Error('stopped');
}

function stillClock(): Clock {
  return { wallMs: () => 1_700_000_000_000, monotonicMs: () => 0, sleep: async () => undefined };
}

function recordingLogger(lines: string[]): Logger {
  const at =
    (level: string) =>
    (event: string, fields: LogFields, message = ''): void =>
      void lines.push(`${level} ${event} ${fields.from ?? ''} ${fields.code ?? ''} ${message}`.trim());
  const logger: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    with: () => logger,
  };
  return logger;
}
