/**
 * Compares in this thread, or in several that share the old text. What comes out does not depend on
 * how many there are, so that the same two versions give the same patch on every machine.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { describeError, GweError } from '../../base/errors.ts';
import { Matcher, type Stretch } from './matcher.ts';
import { buildSeedIndex, emptySeedIndex } from './seed-index.ts';
import type { ThreadAnswer, ThreadData, ThreadTask } from './thread.ts';

export interface WorkerPool {
  /** Texts that may be at work at once. */
  readonly width: number;
  /** First of all. Throws what `onProgress` throws. */
  buildIndex(onProgress: (doneBytes: number) => void): Promise<void>;
  /** Covers `bytes`, as `Matcher.match`; they must not change meanwhile. */
  match(bytes: Uint8Array, expectedAt: number): Promise<Stretch[]>;
  close(): Promise<void>;
}

export interface PoolPlan {
  /** 0 for none besides this one. */
  threads: number;
  /** What they run: a text, or the URL of a file. */
  program: string | URL;
}

/** thread.ts as one text; put in by the build, not there when the sources run as they are. */
declare const GWE_PATCH_THREAD: string | undefined;

const MOST_THREADS = 4;
/** Less is done before a thread has started. */
const LEAST_SHARED_BYTES = 8 * 1024 * 1024;
/** What one thread needs for its own heap and its work. */
export const THREAD_MEMORY_BYTES: number = 32 * 1024 * 1024;

/** For comparing `sizeBytes`, old and new, on this machine. */
export function planPool(sizeBytes: number): PoolPlan {
  const program = typeof GWE_PATCH_THREAD === 'undefined' ? '' : GWE_PATCH_THREAD;
  const cores = availableParallelism();
  const isWorthIt = program !== '' && cores > 1 && sizeBytes >= LEAST_SHARED_BYTES;
  return { threads: isWorthIt ? Math.min(MOST_THREADS, cores) : 0, program };
}

/**
 * `text` is in shared memory. Its work fails with CANCELLED when `signal` aborts, with ARTIFACT_PATCH if a thread
 * ends.
 */
export function openPool(text: Uint8Array, { threads, program }: PoolPlan, signal?: AbortSignal): WorkerPool {
  return threads === 0 ? new SingleThread(text) : new ThreadPool(text, threads, program, signal);
}

class SingleThread implements WorkerPool {
  readonly width = 1;
  readonly #text: Uint8Array;
  #matcher: Matcher;

  constructor(text: Uint8Array) {
    this.#text = text;
    this.#matcher = new Matcher(text, emptySeedIndex(0));
  }

  async buildIndex(onProgress: (doneBytes: number) => void): Promise<void> {
    this.#matcher = new Matcher(this.#text, await buildSeedIndex(this.#text, onProgress));
  }

  async match(bytes: Uint8Array, expectedAt: number): Promise<Stretch[]> {
    return this.#matcher.match(bytes, 0, bytes.length, expectedAt);
  }

  async close(): Promise<void> {
    // Nothing is held but memory.
  }
}

class ThreadPool implements WorkerPool {
  readonly width: number;
  readonly #threads: readonly Thread[];
  readonly #signal: AbortSignal | undefined;
  readonly #stop = (): void => {
    const reason = new GweError('CANCELLED', 'stopped making the patch');
    for (const thread of this.#threads) thread.fail(reason);
  };
  #next = 0;

  constructor(text: Uint8Array, count: number, program: string | URL, signal: AbortSignal | undefined) {
    const index = emptySeedIndex(text.length, true);
    this.width = 2 * count;
    this.#threads = Array.from({ length: count }, () => new Thread(program, { text, index }));
    this.#signal = signal;
    signal?.addEventListener('abort', this.#stop, { once: true });
    if (signal?.aborted) this.#stop();
  }

  async buildIndex(onProgress: (doneBytes: number) => void): Promise<void> {
    const of = this.#threads.length;
    const shares = this.#threads.map((thread, number) =>
      // They go side by side: the first one tells how far all are.
      thread.run({ kind: 'index', share: { number, of } }, number === 0 ? onProgress : undefined),
    );
    await Promise.all(shares);
  }

  async match(bytes: Uint8Array, expectedAt: number): Promise<Stretch[]> {
    const thread = this.#threads[this.#next++ % this.#threads.length];
    return unpackStretches((await thread?.run({ kind: 'match', bytes, expectedAt })) ?? new Float64Array());
  }

  async close(): Promise<void> {
    this.#signal?.removeEventListener('abort', this.#stop);
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }
}

interface Pending {
  resolve(stretches: Float64Array): void;
  reject(error: unknown): void;
  onProgress: ((doneBytes: number) => void) | undefined;
}

class Thread {
  readonly #worker: Worker;
  /** In the order in which they were given to it. */
  readonly #pending: Pending[] = [];
  #failure: unknown;

  constructor(program: string | URL, data: ThreadData) {
    this.#worker = new Worker(program, { eval: typeof program === 'string', workerData: data });
    this.#worker.on('message', (answer: ThreadAnswer) => this.#take(answer));
    this.#worker.once('error', (error) => this.fail(endOf(describeError(error), error)));
    this.#worker.once('exit', (status) => this.fail(endOf(`status ${status}`, undefined)));
  }

  run(task: ThreadTask, onProgress?: Pending['onProgress']): Promise<Float64Array> {
    const answer = new Promise<Float64Array>((resolve, reject) => {
      if (this.#failure !== undefined) reject(this.#failure);
      else this.#pending.push({ resolve, reject, onProgress });
    });
    // Whoever awaits it gets its failure; until then it must not count as unhandled.
    answer.catch(() => undefined);
    this.#worker.postMessage(task);
    return answer;
  }

  /** All that it was given and will be given fails; only the first reason counts. */
  fail(reason: unknown): void {
    this.#failure ??= reason;
    for (const { reject } of this.#pending.splice(0)) reject(this.#failure);
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #take(answer: ThreadAnswer): void {
    if (answer.kind === 'done') this.#pending.shift()?.resolve(answer.stretches);
    else this.#tell(answer.doneBytes);
  }

  #tell(doneBytes: number): void {
    try {
      this.#pending[0]?.onProgress?.(doneBytes);
    } catch (error) {
      this.fail(error);
    }
  }
}

function endOf(found: string, cause: unknown): GweError {
  const message = `cannot make the patch: a thread that compares the versions has ended (${found})`;
  return new GweError('ARTIFACT_PATCH', message, { cause });
}

function unpackStretches(packed: Float64Array): Stretch[] {
  return Array.from({ length: packed.length / 4 }, (_, index) => {
    const [oldAt = 0, newAt = 0, copyBytes = 0, extraBytes = 0] = packed.subarray(4 * index, 4 * index + 4);
    return { oldAt, newAt, copyBytes, extraBytes };
  });
}
