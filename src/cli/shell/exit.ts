/** Exit statuses, in one table; README and --help show the same. */
import type { ErrorCode } from '../../base/errors.ts';

export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  locked: 3,
  /** Of `gwe status --check`. */
  unhealthy: 4,
  /** As a shell says it of a program that Ctrl-C has ended. */
  interrupted: 130,
  /** The same for SIGTERM. */
  terminated: 143,
  /** The original's `exit -1`. */
  noIdentity: 255,
} as const;

export const EXIT_STATUSES: readonly { status: number; meaning: string }[] = [
  { status: EXIT.ok, meaning: 'done' },
  { status: EXIT.failed, meaning: 'it failed; the last line on stderr says what and why' },
  { status: EXIT.usage, meaning: 'the command line is wrong; nothing was changed' },
  { status: EXIT.locked, meaning: 'another gwe is at work on this root' },
  {
    status: EXIT.unhealthy,
    meaning:
      'of gwe status --check: gwe is stopped, has not checked in for 2 intervals, or a program is down',
  },
  { status: EXIT.interrupted, meaning: 'interrupted by Ctrl-C (SIGINT)' },
  { status: EXIT.terminated, meaning: 'ended by SIGTERM before it was done' },
  { status: EXIT.noIdentity, meaning: 'neither uuid nor iface, or no product, is configured' },
];

export function exitStatusOf(code: ErrorCode): number {
  if (code.startsWith('USAGE_')) return EXIT.usage;
  if (code === 'STORE_LOCKED') return EXIT.locked;
  return code === 'CONFIG_NO_IDENTITY' ? EXIT.noIdentity : EXIT.failed;
}
