/** What the update core needs from the rest of gwe. Everything with a side effect comes in through here. */
import type { Transaction } from './journal.ts';
import type { UpdateEvent, WorkingState } from './machine.ts';

/** How a state's work ended, and what it found out. A failure is thrown. */
export interface EffectResult {
  event: UpdateEvent;
  /** Fields of the transaction that the work has learnt. */
  learnt?: Partial<Transaction>;
}

export interface EffectContext {
  transaction: Transaction;
  /** Aborts when gwe is asked to stop: the work is left for the next start. */
  signal: AbortSignal;
  /** Makes facts durable in the middle of an effect (the pid of install.sh). */
  record(facts: Partial<Transaction>): void;
}

/** One effect for each state. Each is idempotent: after a crash it runs again from its beginning. */
export type UpdateEffects = Readonly<Record<WorkingState, (context: EffectContext) => Promise<EffectResult>>>;

export interface UpdatePorts {
  effects: UpdateEffects;
  /**
   * Records the end of a transaction: installed versions, history, the report to be sent. Idempotent, keyed by
   * the transaction's id.
   */
  close(transaction: Transaction): void;
  /** Gives up the room on the disk that is kept for finishing what has begun. False if there is none; never throws. */
  makeRoom(): boolean;
  /** Clean-up after the end. Its failure never changes an outcome. */
  cleanUp(transaction: Transaction): void;
}
