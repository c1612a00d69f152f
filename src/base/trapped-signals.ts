/** Signals that came at the last moment. */
import {
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  writeSync,
} from 'node:fs';

/** What libuv's handler writes for each listener of a signal: the listener's address, the signal's number, padding. */
const NOTE_BYTES = 16;
const NUMBER_OFFSET = 8;
const MOST_NOTES = 64;
const ACCESS_MODE = 3;

/**
 * The numbers of signals that were caught while their listeners were still there, and that none of them has heard: libuv
 * drops its note of such a one when the listener has gone by the time it is read. To be called right after the last
 * listener was removed, before the event loop goes on. Empty where there is no /proc.
 */
export function readTrappedSignals(): number[] {
  try {
    return signalPipes().flatMap(readNotes);
  } catch {
    return [];
  }
}

/** Reading ends of pipes whose other end is ours as well, and that never block: libuv's lock has one that does. */
function signalPipes(): string[] {
  const ends = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const flags = Number.parseInt(
        /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? '',
        8,
      );
      return [{ path: `/proc/self/fd/${fd}`, pipe: readlinkSync(`/proc/self/fd/${fd}`), flags }];
    } catch {
      return []; // The one that listed the others is gone by now.
    }
  });
  const has = (flags: number, access: number): boolean => (flags & ACCESS_MODE) === access;
  const written = new Set(ends.filter(({ flags }) => has(flags, constants.O_WRONLY)).map(({ pipe }) => pipe));
  return ends
    .filter(({ pipe }) => pipe.startsWith('pipe:') && written.has(pipe))
    .filter(({ flags }) => has(flags, constants.O_RDONLY) && (flags & constants.O_NONBLOCK) !== 0)
    .map(({ path }) => path);
}

/**
 * Reopened, so that the runtime's own descriptor stays as it is. The notes are put back: libuv does not let go of a
 * listener before it has seen all that were written for it, and turns in circles until then.
 */
function readNotes(path: string): number[] {
  const notes = Buffer.alloc(NOTE_BYTES * MOST_NOTES);
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    const count = readSync(fd, notes);
    writeSync(fd, notes, 0, count);
    return Array.from({ length: Math.floor(count / NOTE_BYTES) }, (_, index) =>
      notes.readInt32LE(index * NOTE_BYTES + NUMBER_OFFSET),
    );
  } catch {
    return []; // EAGAIN: nothing there.
  } finally {
    closeSync(fd);
  }
}
