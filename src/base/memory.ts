/** What the runtime holds on to without need. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Collects garbage now, for a process that is about to rest: left alone, V8 waits for an allocation that does not come. */
export function collectGarbage(): void {
  findCollector()();
}

/**
 * Told of every buffer that has been used up. V8 counts what its own heap holds and lets the memory behind buffers
 * pile up to tens of megabytes; a minor collection now and then costs next to nothing and gives it back.
 */
interface Garbage {
  add(bytes: number): void;
}

const COLLECT_EVERY_BYTES = 1024 * 1024;

/** One for each stream of bytes that are used up at once. Costs nothing until the first megabyte has gone through. */
export function createGarbage(): Garbage {
  let waitingBytes = 0;
  let collect: Collect | undefined;
  return {
    add(bytes) {
      waitingBytes += bytes;
      if (waitingBytes < COLLECT_EVERY_BYTES) return;
      waitingBytes = 0;
      collect ??= findCollector();
      collect({ type: 'minor' });
    },
  };
}

type Collect = (options?: { type: 'minor' | 'major' }) => void;

/** V8 hands its collector to contexts that are made after the flag is set, and to no other. */
function findCollector(): Collect {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  return typeof collect === 'function' ? (collect as Collect) : () => undefined;
}

/**
 * Gives back the memory behind a buffer that nobody will read again: left to the collector, buffers that have lived
 * through a few of its rounds wait for a large one, tens of megabytes of them. Where the runtime cannot, nothing happens.
 */
export function releaseBuffer(buffer: Buffer): void {
  const memory = buffer.buffer;
  // Small buffers share theirs with others: a part of memory of just that size.
  if (memory.byteLength === Buffer.poolSize && buffer.length < memory.byteLength) return;
  const transfer: unknown = Reflect.get(memory, 'transfer');
  if (typeof transfer === 'function') Reflect.apply(transfer, memory, [0]);
}

/** Bytes that come in pieces, kept in one buffer: a list of small ones would cost many times what they hold. */
export interface ByteCollector {
  /** False, and nothing is kept of them, if there would be more than the limit. */
  add(bytes: Buffer): boolean;
  sizeBytes(): number;
  /** A view of what has come, good until more is added. */
  bytes(): Buffer;
  clear(): void;
}

const FIRST_BYTES = 1024;

export function createByteCollector(limitBytes: number): ByteCollector {
  let kept = Buffer.alloc(0);
  let size = 0;
  const grow = (wanted: number): void => {
    const grown = Buffer.alloc(Math.min(Math.max(wanted, kept.length * 2, FIRST_BYTES), limitBytes));
    kept.copy(grown, 0, 0, size);
    kept = grown;
  };
  return {
    add(bytes) {
      const wanted = size + bytes.length;
      if (wanted > limitBytes) return false;
      if (wanted > kept.length) grow(wanted);
      bytes.copy(kept, size);
      size = wanted;
      return true;
    },
    sizeBytes: () => size,
    bytes: () => kept.subarray(0, size),
    clear() {
      size = 0;
    },
  };
}
