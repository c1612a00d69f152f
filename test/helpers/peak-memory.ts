/** The most anonymous memory that a process had while somebody looked. */
import { Worker } from 'node:worker_threads';

export interface PeakMemory {
  /** Ends the watch: the peak in bytes, and how often it was looked at. */
  stop(): Promise<{ peakBytes: number; samples: number }>;
}

const SAMPLE_EVERY_MS = 4;

/**
 * Reads RssAnon of `pid` every few milliseconds, on a thread of its own: the kernel keeps no high-water mark of it.
 * File pages do not count, since the kernel takes them back when it needs them.
 */
export function watchPeakMemory(pid: number): PeakMemory {
  const shared = new Int32Array(new SharedArrayBuffer(12));
  const worker = new Worker(SAMPLER, { eval: true, workerData: { shared, pid, everyMs: SAMPLE_EVERY_MS } });
  const ended = new Promise<void>((resolve, reject) => {
    worker.once('exit', () => resolve());
    worker.once('error', reject);
  });
  return {
    async stop() {
      Atomics.store(shared, 0, 1);
      Atomics.notify(shared, 0);
      await ended;
      return { peakBytes: (shared[1] ?? 0) * 1024, samples: shared[2] ?? 0 };
    },
  };
}

/** [0]: stop, [1]: peak in KiB, [2]: samples. */
const SAMPLER = `
const { workerData: { shared, pid, everyMs } } = require('node:worker_threads');
const { readFileSync } = require('node:fs');
while (Atomics.wait(shared, 0, 0, everyMs) === 'timed-out') {
  try {
    const found = /^RssAnon:\\s+(\\d+) kB$/m.exec(readFileSync('/proc/' + pid + '/status', 'latin1'));
    if (found === null) continue;
    shared[1] = Math.max(shared[1], Number(found[1]));
    shared[2]++;
  } catch {}
}
`;
