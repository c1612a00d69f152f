import { readFileSync } from 'node:fs';

/** Whether a process runs no more. A zombie has ended: who should wait for it may be gone, and pid 1 takes its time. */
export function hasEnded(pid: number | string): boolean {
  try {
    return /^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${`${pid}`.trim()}/stat`, 'latin1'));
  } catch {
    return true;
  }
}
