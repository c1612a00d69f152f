/** What a process used while somebody looked: the kernel keeps no high-water mark of anonymous memory. */
import { Worker } from 'node:worker_threads';

export interface ProcessUse {
  /** The most anonymous memory. File pages do not count, since the kernel takes them back when it needs them. */
  peakBytes: number;
  /** What it has sent to the disk: what was taken back before it got there does not count. */
  writtenBytes: number;
  /** Of it and of what it has started and waited for. */
  cpuSeconds: number;
  samples: number;
}

export interface ProcessWatch {
  /** Ends the watch. */
  stop(): Promise<ProcessUse>;
}

const SAMPLE_EVERY_MS = 4;
/** Of Linux, for programs. */
const TICKS_PER_SECOND = 100;

/** Looks at `pid` every few milliseconds, on a thread of its own. */
export function watchProcess(pid: number): ProcessWatch {
  const shared = new Int32Array(new SharedArrayBuffer(20));
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
      const [, peakKiB = 0, samples = 0, writtenKiB = 0, ticks = 0] = shared;
      const cpuSeconds = ticks / TICKS_PER_SECOND;
      return { peakBytes: peakKiB * 1024, writtenBytes: writtenKiB * 1024, cpuSeconds, samples };
    },
  };
}

/** [0]: stop, [1]: peak in KiB, [2]: samples, [3]: KiB written, [4]: ticks of CPU. */
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
    shared[3] = (find('io', /^write_bytes: (\\d+)$/m) - find('io', /^cancelled_write_bytes: (\\d+)$/m)) / 1024;
    const times = readFileSync('/proc/' + pid + '/stat', 'latin1').replace(/^.*\\) /, '').split(' ').slice(11, 15);
    shared[4] = times.reduce((sum, one) => sum + Number(one), 0);
  } catch {}
}
`;
