/** What the update core needs from the rest of gwe. Everything with a side effect comes in through here. */
import type { CheckedTransaction, Transaction } from './journal.ts';
import type { UncheckedState, UpdateEvent, WorkingState } from './state-machine.ts';

/** How a state's work ended, and what it found out. A failure is thrown. */
export interface EffectResult {
  event: UpdateEvent;
  /** Fields of the transaction that the work has learnt. */
  learnt?: Partial<Transaction>;
}

export interface EffectContext<T extends Transaction = Transaction> {
  transaction: T;
  /** Aborts when the work is to be left: gwe stops, and the next start goes on, or the update has been cancelled. */
  signal: AbortSignal;
  /** Makes facts durable in the middle of an effect (the pid of install.sh). */
  record(facts: Partial<Transaction>): void;
}

/** One effect for each state. Each is idempotent: after a crash it runs again from its beginning. */
export type UpdateEffects = {
  readonly [State in WorkingState]: Effect<State extends UncheckedState ? Transaction : CheckedTransaction>;
};
type Effect<T extends Transaction> = (context: EffectContext<T>) => Promise<EffectResult>;

/** Hears that an operator wants an update no more. */
export interface CancelWatch {
  signal: AbortSignal;
  /** Stops listening. */
  end(): void;
}

export interface UpdatePorts {
  effects: UpdateEffects;
  watchCancel(transaction: Pick<Transaction, 'id' | 'app'>): CancelWatch;
  /** Whether what has been done cannot be taken back, so that a cancel comes too late. */
  isBeyondCancel(transaction: Pick<Transaction, 'app' | 'state'>): boolean;
  /**
   * Records the end of a transaction: installed versions, history, the report to be sent. Idempotent, keyed by
   * the transaction's id.
   */
  recordEnd(transaction: Transaction): void;
  /** Gives up the room on the disk that is kept for finishing what has begun. False if there is none; never throws. */
  makeRoom(): boolean;
  /** Clean-up after the end. Its failure never changes an outcome. */
  cleanUp(transaction: Transaction): void;
}
