/** Memory that is allocated once: regions are taken from it in order, and returned in the same order. */
import { releaseBuffer } from '../../base/memory.ts';

export interface ByteRing {
  /** A region in one piece, which holds whatever it held before; `undefined` until older ones are given back. */
  take(bytes: number): Buffer | undefined;
  /** Returns the oldest region: it must not be used any more. */
  giveBack(): void;
  /** Gives all of the memory back. */
  close(): void;
}

/** No region can be longer than `capacityBytes`. The memory is taken from the system with the first region. */
export function createByteRing(capacityBytes: number): ByteRing {
  const taken: { start: number; end: number }[] = [];
  let memory: Buffer | undefined;
  const place = (bytes: number): number | undefined => {
    const [oldest, newest] = [taken[0], taken.at(-1)];
    if (oldest === undefined || newest === undefined) return bytes <= capacityBytes ? 0 : undefined;
    const hasWrapped = newest.start < oldest.start;
    if (newest.end + bytes <= (hasWrapped ? oldest.start : capacityBytes)) return newest.end;
    return !hasWrapped && bytes <= oldest.start ? 0 : undefined;
  };
  return {
    take(bytes) {
      const start = place(bytes);
      if (start === undefined) return undefined;
      taken.push({ start, end: start + bytes });
      memory ??= Buffer.allocUnsafeSlow(capacityBytes);
      return memory.subarray(start, start + bytes);
    },
    giveBack() {
      taken.shift();
    },
    close() {
      taken.length = 0;
      if (memory !== undefined) releaseBuffer(memory);
      memory = undefined;
    },
  };
}
