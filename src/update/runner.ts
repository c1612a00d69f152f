/** Drives one transaction: journal the state, run its effect, feed the event back, until a final state. */
import type { Clock } from '../base/clock.ts';
import {
  causesOf,
  describeError,
  ERROR_CODES,
  GweError,
  isDiskError,
  type Outcome,
  systemCode,
} from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Failure, Journal, Transaction } from './journal.ts';
import type { CancelWatch, EffectContext, EffectResult, UpdatePorts } from './ports.ts';
import { isFinal, isUnchecked, nextState, type UpdateState, type WorkingState } from './state-machine.ts';

/** Times that the platform may fail to give the bytes before the command is given up and reported. */
const MOST_DEFERRALS = 20;
/** More journal writes than any honest update needs; past it the update is a loop. */
const MOST_SAVES = 100;
/** Starts of gwe that may find the same state before it counts as the state's fault. */
const MOST_RESUMES = 4;

export interface RunnerDependencies {
  journal: Journal;
  ports: UpdatePorts;
  clock: Clock;
  log: Logger;
  signal: AbortSignal;
}

export type NewTransaction = Pick<
  Transaction,
  'id' | 'app' | 'version' | 'contentId' | 'source' | 'commandDigest'
> &
  Partial<Pick<Transaction, 'expectedSha256' | 'urgent' | 'command' | 'parks' | 'staged' | 'isTogether'>>;

/**
 * Carries out a new transaction to its end. Throws CANCELLED if gwe is stopping, and the error of the network or
 * platform if that alone stands in the way of the bytes: `resumeTransaction` goes on from there.
 */
export async function runTransaction(start: NewTransaction, deps: RunnerDependencies): Promise<Transaction> {
  const startedAtMs = deps.clock.wallMs();
  return advance(
    {
      ...start,
      state: 'planned',
      saves: 0,
      resumes: 0,
      startedAtMs,
      deferrals: 0,
      notes: [],
      bytesFetched: 0,
      closed: false,
    },
    deps,
  );
}

/** Goes on with what the journal holds. Returns `undefined` if there is nothing unfinished. */
export async function resumeTransaction(deps: RunnerDependencies): Promise<Transaction | undefined> {
  const found = deps.journal.read();
  if (found === undefined || found.closed) return undefined;
  deps.log.info('update.resume', {
    tx: found.id,
    app: found.app,
    version: found.version,
    state: found.state,
  });
  return advance({ ...found, resumes: found.resumes + 1 }, deps);
}

/** Takes back a transaction that was accepted: its program has failed since, or another one of its command. */
export async function reopenTransaction(
  accepted: Transaction,
  why: { code: 'SUPERVISOR_UNHEALTHY' | 'COMMAND_TOGETHER'; message: string },
  deps: RunnerDependencies,
): Promise<Transaction> {
  const failure: Failure = { state: 'committed', ...why };
  return advance({ ...accepted, state: 'rolling-back', failure, saves: 0, resumes: 0, closed: false }, deps);
}

/** Gives up a transaction that still waits for its bytes, because a newer command has come. */
export async function supersedeTransaction(deps: RunnerDependencies): Promise<void> {
  const found = deps.journal.read();
  if (found === undefined || found.closed || !isFetching(found.state)) return;
  const failure: Failure = {
    state: found.state,
    code: 'CANCELLED',
    message: 'given up: a newer command arrived',
  };
  await advance({ ...found, state: 'failed', failure }, deps);
}

async function advance(start: Transaction, deps: RunnerDependencies): Promise<Transaction> {
  const watch = deps.ports.watchCancel(start);
  try {
    return await advanceWatched(start, deps, watch);
  } finally {
    watch.end();
  }
}

async function advanceWatched(
  start: Transaction,
  deps: RunnerDependencies,
  watch: CancelWatch,
): Promise<Transaction> {
  let transaction = start;
  const save = (facts: Partial<Transaction>): void => {
    const saves = isFetching(transaction.state) ? 0 : transaction.saves + 1;
    transaction = { ...transaction, ...facts, saves };
    withRoom(transaction.state, deps, () => deps.journal.write(transaction));
  };
  for (let state = transaction.state; !isFinal(state); state = transaction.state) {
    save({});
    const { event, learnt } = await perform({ current: () => transaction, record: save, deps, watch }, state);
    const next = nextState(state, event);
    transaction = { ...transaction, ...learnt, state: next, resumes: 0 };
    logTransition(transaction, state, next, deps);
  }
  save({ endedAtMs: transaction.endedAtMs ?? deps.clock.wallMs() });
  withRoom(transaction.state, deps, () => deps.ports.recordEnd(transaction));
  save({ closed: true });
  cleanUp(transaction, deps);
  return transaction;
}

interface Step {
  current(): Transaction;
  record(facts: Partial<Transaction>): void;
  deps: RunnerDependencies;
  watch: CancelWatch;
}

/** Runs one effect; whatever it throws becomes the event `failed`, except the wish to stop. */
async function perform(step: Step, state: WorkingState): Promise<EffectResult> {
  const { current, record, deps, watch } = step;
  const isTooLate = state === 'rolling-back' || deps.ports.isBeyondCancel(current());
  const signal = isTooLate ? deps.signal : AbortSignal.any([deps.signal, watch.signal]);
  try {
    breakLoops(current());
    signal.throwIfAborted();
    return await runEffect(state, { transaction: current(), signal, record }, deps.ports);
  } catch (error) {
    if (deps.signal.aborted) {
      throw new GweError('CANCELLED', `stopped while '${state}': the next start continues from there`, {
        cause: error,
      });
    }
    if (signal.aborted) return { event: 'failed', learnt: { failure: cancelled(state), isCancelled: true } };
    if (isDeferrable(current(), error)) {
      record({ deferrals: current().deferrals + 1, resumes: 0 });
      throw error;
    }
    if (state === 'rolling-back' && isDiskError(error)) {
      if (isFull(error) && deps.ports.makeRoom()) return perform(step, state);
      // The next pass may find the disk repaired; `breakLoops` ends it where none does.
      throw error;
    }
    const failure = describeFailure(state, error);
    return { event: 'failed', learnt: state === 'rolling-back' ? { rollbackFailure: failure } : { failure } };
  }
}

function cancelled(state: WorkingState): Failure {
  return { state, code: 'CANCELLED', message: `cancelled on the gateway while '${state}'` };
}

function runEffect(
  state: WorkingState,
  effect: EffectContext,
  { effects }: UpdatePorts,
): Promise<EffectResult> {
  if (isUnchecked(state)) return effects[state](effect);
  const { transaction } = effect;
  const { digest, app } = transaction;
  if (digest === undefined)
    throw new GweError('STORE_IO', `cannot continue with '${app}': the journal holds no digest`);
  return effects[state]({ ...effect, transaction: { ...transaction, digest } });
}

/** The bytes are not on the gateway yet: the states that may take days. */
export function isFetching(state: UpdateState): boolean {
  return state === 'planned' || state === 'downloading';
}

/** A network or platform fault is not the artifact's, and nothing has been touched: the next check-in tries again. */
function isDeferrable(transaction: Transaction, error: unknown): boolean {
  // A month's end is waited for as long as it takes.
  if (isFetching(transaction.state) && error instanceof GweError && error.code === 'BUDGET_SPENT')
    return true;
  if (!isFetching(transaction.state) || transaction.deferrals >= MOST_DEFERRALS) return false;
  return error instanceof GweError && (error.isTransient || error.code === 'PROTOCOL_UNAUTHORIZED');
}

function isFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(systemCode(error) ?? '');
}

/**
 * Writes, on a full disk a second time in the room kept for that. While the bytes are still being fetched nothing needs
 * finishing: the update waits for space.
 */
function withRoom(state: UpdateState, deps: RunnerDependencies, write: () => void): void {
  try {
    write();
  } catch (error) {
    if (isFetching(state) || !isFull(error) || !deps.ports.makeRoom()) throw error;
    write();
  }
}

function breakLoops(transaction: Transaction): void {
  if (isFetching(transaction.state)) return;
  if (transaction.saves <= MOST_SAVES && transaction.resumes <= MOST_RESUMES) return;
  throw new GweError(
    'JOURNAL_LOOP',
    `cannot finish '${transaction.state}': gwe was started ${transaction.resumes} times in it ` +
      `(${transaction.saves} journal writes), expected at most ${MOST_RESUMES}`,
  );
}

function describeFailure(state: UpdateState, error: unknown): Failure {
  const causes = causesOf(error);
  return {
    state,
    code: error instanceof GweError ? error.code : 'STORE_IO',
    message: causes.join(': '),
    ...(causes.length > 1 ? { causes } : {}),
    ...(error instanceof GweError && error.said !== undefined ? { said: error.said } : {}),
  };
}

function logTransition(
  transaction: Transaction,
  from: UpdateState,
  to: UpdateState,
  deps: RunnerDependencies,
): void {
  const failure = transaction.rollbackFailure ?? transaction.failure;
  const fields = { tx: transaction.id, app: transaction.app, version: transaction.version, from };
  if (failure?.state === from)
    deps.log.warn(`update.${to}`, { ...fields, code: failure.code }, failure.message);
  else deps.log.info(`update.${to}`, fields);
}

function cleanUp(transaction: Transaction, deps: RunnerDependencies): void {
  try {
    deps.ports.cleanUp(transaction);
  } catch (error) {
    deps.log.warn('update.clean-up', { tx: transaction.id }, describeError(error));
  }
}

/** What is true on the gateway after a finished transaction. */
export function outcomeOf(transaction: Transaction): Outcome {
  switch (transaction.state) {
    case 'committed':
      return transaction.notes.includes(REINSTALLED) ? 'unchanged' : 'installed';
    case 'rolled-back':
      return 'rolled-back';
    case 'rollback-failed':
      return 'rollback-failed';
    default:
      return isRejection(transaction.failure) ? 'rejected' : 'failed-no-change';
  }
}

/** Note of a transaction that ran install.sh of the active version again without fetching it. */
export const REINSTALLED = 'already active: install.sh was run again';

/** Whether the artifact or the command itself was at fault. */
export function isRejection(failure: Failure | undefined): boolean {
  const codes: Record<string, { rejected: boolean }> = ERROR_CODES;
  return failure !== undefined && codes[failure.code]?.rejected === true;
}
