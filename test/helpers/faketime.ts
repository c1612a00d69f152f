/** A wall clock of one's own for a process: libfaketime, whose offset the test changes at any time. */
import { globSync, mkdtempSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeRoot } from './remove-root.ts';

export interface FakeClock {
  /** For the process; the monotonic clock stays the machine's. */
  env: Record<string, string>;
  /** Seconds that its wall clock is ahead of the machine's from now on; negative for behind. */
  setOffset(seconds: number): void;
  /** The offset of which the wall clock begins at 1970. */
  toEpoch(): number;
  remove(): void;
}

export const YEAR_S = 365 * 24 * 3600;

export function createFakeClock(offset = 0): FakeClock {
  const [library] = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1');
  if (library === undefined) throw new Error('libfaketime is not installed: apt-get install faketime');
  const directory = mkdtempSync(join(tmpdir(), 'gwe-faketime-'));
  const file = join(directory, 'offset');
  const setOffset = (seconds: number): void => {
    writeFileSync(`${file}.new`, `${seconds < 0 ? '' : '+'}${seconds}\n`);
    renameSync(`${file}.new`, file);
  };
  setOffset(offset);
  return {
    env: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
    setOffset,
    toEpoch: () => 60 - Math.floor(Date.now() / 1000),
    remove: () => removeRoot(directory),
  };
}
