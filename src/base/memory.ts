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
export interface Garbage {
  add(bytes: number): void;
}

/** A major one costs forty times as much, and has little to do where `releaseBuffer` works. */
const COLLECT_EVERY_BYTES = {
  minor: 1024 * 1024,
  major: (canRelease() ? 6 : 3) * 1024 * 1024,
};

function canRelease(): boolean {
  return 'transfer' in ArrayBuffer.prototype;
}

/**
 * One for each stream of bytes. Costs nothing until the first megabytes have gone through. A minor collection is enough
 * for buffers that are used up at once; those that wait for others outlive a few, and only a major one takes them.
 */
export function createGarbage(type: keyof typeof COLLECT_EVERY_BYTES = 'minor'): Garbage {
  let waitingBytes = 0;
  let collect: Collect | undefined;
  return {
    add(bytes) {
      waitingBytes += bytes;
      if (waitingBytes < COLLECT_EVERY_BYTES[type]) return;
      waitingBytes = 0;
      collect ??= findCollector();
      collect({ type });
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
