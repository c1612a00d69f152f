/**
 * The SQLite database as its tables use it: statements compiled once, and writes that arrive together in one commit.
 * A synced commit takes 0.1 to several milliseconds, whatever is in it, and all requests wait for it.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { GweError } from '../../../base/errors.ts';
import type { AliasValue } from '../value-storage.ts';

/** Returned by a commit's work that undoes all it did and still has a result. */
export class TakenBack<T> {
  readonly result: T;

  constructor(result: T) {
    this.result = result;
  }
}

export interface Connection {
  /** Compiled at its first use. `sql` contains no values: whatever varies is bound. */
  statement(sql: string): StatementSync;
  /**
   * Carries out `work` in a transaction, which it may share with other work of the same turn of the event loop.
   * Resolves once it is durable; rejects, with none of it done, if it throws or cannot be stored.
   */
  commit<T>(work: () => T | TakenBack<T>): Promise<T>;
  /** Until this is ended nothing is written: commits are refused as PLATFORM_READ_ONLY, with these words. */
  freeze(why: string): Promise<Frozen>;
  /** While frozen, notes in memory that these values were shown; false where it has to be written. */
  noteShown(deviceId: number, values: readonly AliasValue[]): boolean;
  isFrozen(): boolean;
  /** Waits for the commits under way. */
  close(): Promise<void>;
}

export interface Frozen {
  /** What devices were shown while frozen. */
  shown(): ReadonlyMap<number, readonly AliasValue[]>;
  end(): void;
}

interface Queued {
  /** Returns a function that reports the result to the caller once the commit is done. */
  run(): () => void;
  fail(error: unknown): void;
}

/** The most writes in one commit, so that a turn of the event loop takes only milliseconds. */
const MOST_IN_COMMIT = 128;

/** `committed` is called with the number of writes in each commit. */
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
      // What was requested before is still written.
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

/** Work that fails is undone alone. Throws where SQLite has ended the whole transaction: on a full disk, say. */
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
