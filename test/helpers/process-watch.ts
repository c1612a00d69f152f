/** What a process used while somebody looked: the kernel keeps no high-water mark of anonymous memory. */
import { Worker } from 'node:worker_threads';

export interface ProcessUse {
  /** The most anonymous memory. File pages do not count, since the kernel takes them back when it needs them. */
  peakBytes: number;
  /** What it has sent to the disk. */
  writtenBytes: number;
  samples: number;
}

export interface ProcessWatch {
  /** Ends the watch. */
  stop(): Promise<ProcessUse>;
}

const SAMPLE_EVERY_MS = 4;

/** Looks at `pid` every few milliseconds, on a thread of its own. */
export function watchProcess(pid: number): ProcessWatch {
  const shared = new Int32Array(new SharedArrayBuffer(16));
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
      const [, peakKiB = 0, samples = 0, writtenKiB = 0] = shared;
      return { peakBytes: peakKiB * 1024, writtenBytes: writtenKiB * 1024, samples };
    },
  };
}

/** [0]: stop, [1]: peak in KiB, [2]: samples, [3]: KiB written. */
const SAMPLER = `
const { workerData: { shared, pid, everyMs } } = require('node:worker_threads');
const { readFileSync } = require('node:fs');
const find = (file, key) => Number(key.exec(readFileSync('/proc/' + pid + '/' + file, 'latin1'))?.[1] ?? 0);
while (Atomics.wait(shared, 0, 0, everyMs) === 'timed-out') {
  try {
    const anonymous = find('status', /^RssAnon:\\s+(\\d+) kB$/m);
    if (anonymous === 0) continue;
    shared[1] = Math.max(shared[1], anonymous);
    shared[2]++;
    shared[3] = Math.max(shared[3], find('io', /^write_bytes: (\\d+)$/m) / 1024);
  } catch {}
}
`;
