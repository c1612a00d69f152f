/**
 * Text to the standard streams, written before the call returns. The runtime's own streams would cost a command that
 * prints one line more than all the rest of it, and leave pipes non-blocking for whoever writes to them next.
 */
import { fstatSync, writeSync } from 'node:fs';
import { systemCode } from './errors.ts';

export type OutputFd = 1 | 2;

const LOOK_AGAIN_MS = 5;

/** Writes all of `text`, waiting for a slow reader. Throws what the kernel says: EPIPE when the reader has gone. */
export function writeOutput(fd: OutputFd, text: string): void {
  let rest = Buffer.from(text);
  while (rest.length > 0) rest = rest.subarray(writeSome(fd, rest));
}

function writeSome(fd: OutputFd, bytes: Buffer): number {
  try {
    return writeSync(fd, bytes);
  } catch (error) {
    // Whoever has the other end, or had this one before, may have made it non-blocking.
    if (systemCode(error) !== 'EAGAIN') throw error;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_AGAIN_MS);
    return 0;
  }
}

/** Whether `error` of `writeOutput` means that nobody reads any more. */
export function hasReaderGone(error: unknown): boolean {
  return systemCode(error) === 'EPIPE';
}

/** Whether `fd` may be a terminal; false is certain. */
export function mayBeTerminal(fd: OutputFd): boolean {
  try {
    return fstatSync(fd).isCharacterDevice();
  } catch {
    return false;
  }
}
