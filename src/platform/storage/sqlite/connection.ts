/**
 * The SQLite database as its tables use it: statements compiled once, and writes that arrive together in one commit.
 * A commit that is synced costs 0.1 to several milliseconds of everybody's time, whatever is in it.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { GweError } from '../../../base/errors.ts';
import type { AliasValue } from '../value-storage.ts';

/** What a commit's work returns to take back all that it did and still have a result. */
export class TakenBack<T> {
  readonly result: T;

  constructor(result: T) {
    this.result = result;
  }
}

export interface Connection {
  /** Compiled at its first use. `sql` has no value in it: what varies is bound. */
  statement(sql: string): StatementSync;
  /**
   * Carries `work` out in a transaction, which it may share with others' work of the same turn of the event loop.
   * Resolves once it is durable; rejects, with nothing of it done, if it throws or cannot be stored.
   */
  commit<T>(work: () => T | TakenBack<T>): Promise<T>;
  /** Until its end nothing is written: commits are refused as PLATFORM_READ_ONLY, with these words. */
  freeze(why: string): Promise<Frozen>;
  /** What these values that were read would note; false where it has to be written. */
  noteShown(deviceId: number, values: readonly AliasValue[]): boolean;
  isFrozen(): boolean;
  /** Waits for the commits under way. */
  close(): Promise<void>;
}

export interface Frozen {
  /** What devices were shown meanwhile. */
  shown(): ReadonlyMap<number, readonly AliasValue[]>;
  end(): void;
}

interface Queued {
  /** Returns how to tell the caller once the commit is done. */
  run(): () => void;
  fail(error: unknown): void;
}

/** In one commit: what a turn of the event loop may take stays in the milliseconds. */
const MOST_IN_COMMIT = 128;

/** `committed` is told how many were in each commit. */
export function createConnection(
  database: DatabaseSync,
  committed: (writes: number) => void = () => undefined,
): Connection {
  const statements = new Map<string, StatementSync>();
  const queue: Queued[] = [];
  let flushing: Promise<void> | undefined;
  let frozen: { why: string; shown: Map<number, AliasValue[]> } | undefined;
  const flush = async (): Promise<void> => {
    while (queue.length > 0) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      const batch = queue.splice(0, MOST_IN_COMMIT);
      commitTogether(database, batch);
      committed(batch.length);
    }
    flushing = undefined;
  };
  return {
    statement(sql) {
      const found = statements.get(sql) ?? database.prepare(sql);
      statements.set(sql, found);
      return found;
    },
    commit(work) {
      if (frozen !== undefined) return Promise.reject(new GweError('PLATFORM_READ_ONLY', frozen.why));
      return new Promise((resolve, reject) => {
        queue.push({
          run() {
            const result = work();
            if (!(result instanceof TakenBack)) return () => resolve(result);
            database.exec('ROLLBACK TO one');
            return () => resolve(result.result);
          },
          fail: reject,
        });
        flushing ??= flush();
      });
    },
    async freeze(why) {
      const mine = { why, shown: new Map<number, AliasValue[]>() };
      frozen = mine;
      // What was asked for before is done.
      await flushing;
      return {
        shown: () => mine.shown,
        end: () => {
          if (frozen === mine) frozen = undefined;
        },
      };
    },
    noteShown(deviceId, values) {
      frozen?.shown.set(deviceId, [...(frozen.shown.get(deviceId) ?? []), ...values]);
      return frozen !== undefined;
    },
    isFrozen: () => frozen !== undefined,
    async close() {
      await flushing;
      database.close();
    },
  };
}

function commitTogether(database: DatabaseSync, batch: readonly Queued[]): void {
  const done: (() => void)[] = [];
  try {
    database.exec('BEGIN IMMEDIATE');
    for (const one of batch) done.push(carryOut(database, one));
    database.exec('COMMIT');
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    for (const one of batch) one.fail(error);
    return;
  }
  for (const tell of done) tell();
}

/** What fails alone is taken back alone. Throws where SQLite has ended the whole transaction: on a full disk, say. */
function carryOut(database: DatabaseSync, one: Queued): () => void {
  database.exec('SAVEPOINT one');
  try {
    const tell = one.run();
    database.exec('RELEASE one');
    return tell;
  } catch (error) {
    if (!database.isTransaction) throw error;
    database.exec('ROLLBACK TO one; RELEASE one');
    return () => one.fail(error);
  }
}
