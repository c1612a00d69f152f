/** Syncs what has been written while more is still being written: waiting for a disk is most of what a sync takes. */
import * as fs from 'node:fs';
import { wrapError } from '../../base/errors.ts';

export interface SyncBehind {
  /** Takes `fd` over: it is synced on the thread pool, and closed whatever comes of that. */
  take(fd: number): void;
  /** To be awaited between two files where it is there: enough descriptors wait already. Throws as `settle`. */
  room(): Promise<void> | undefined;
  /** Resolves when all that was taken is on the disk; STORE_IO or STORE_NO_SPACE where something is not. */
  settle(): Promise<void>;
  /** What still waits is closed, and not synced: nobody wants it any more. */
  drop(): void;
}

/** At work at once while more is to come: the pool has other work as well. */
const AT_WORK = 2;
/** At work at once when nothing else is left to do. Syncs at the same time share one commit of a journal. */
const AT_WORK_AT_THE_END = 8;
const MOST_WAITING = 64;
/** A process may have a thousand descriptors, and who gives them away does not always wait in between. */
const MOST_DESCRIPTORS = 256;

export function createSyncBehind(): SyncBehind {
  const waiting: number[] = [];
  const listeners: (() => void)[] = [];
  let atWork = 0;
  let most = AT_WORK;
  let fault: unknown;
  const next = (): void => {
    while (atWork < most) {
      const fd = waiting.shift();
      if (fd === undefined) break;
      atWork += 1;
      fs.fsync(fd, (error) => {
        atWork -= 1;
        fault ??= error ?? undefined;
        fs.closeSync(fd);
        next();
        for (const listener of listeners.splice(0)) listener();
      });
    }
  };
  const syncNow = (fd: number | undefined): void => {
    if (fd === undefined) return;
    try {
      fs.fsyncSync(fd);
    } catch (error) {
      fault ??= error;
    } finally {
      fs.closeSync(fd);
    }
  };
  const until = async (isEnough: () => boolean): Promise<void> => {
    while (!isEnough()) await new Promise<void>((resolve) => listeners.push(resolve));
    if (fault !== undefined) throw wrapError(fault, 'STORE_IO', 'cannot sync what was unpacked');
  };
  return {
    take(fd) {
      waiting.push(fd);
      next();
      if (waiting.length > MOST_DESCRIPTORS) syncNow(waiting.pop());
    },
    room: () =>
      waiting.length < MOST_WAITING && fault === undefined
        ? undefined
        : until(() => waiting.length < MOST_WAITING / 2),
    async settle() {
      most = AT_WORK_AT_THE_END;
      next();
      await until(() => atWork === 0 && waiting.length === 0);
    },
    drop() {
      for (const fd of waiting.splice(0)) fs.closeSync(fd);
    },
  };
}
