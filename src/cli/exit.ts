/** Exit statuses, in one table; README and --help show the same. */
import type { ErrorCode } from '../base/errors.ts';

export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  locked: 3,
  /** The original's `exit -1`. */
  noIdentity: 255,
} as const;

export const EXIT_STATUSES: readonly { status: number; meaning: string }[] = [
  { status: EXIT.ok, meaning: 'done' },
  { status: EXIT.failed, meaning: 'it failed; the last line on stderr says what and why' },
  { status: EXIT.usage, meaning: 'the command line is wrong; nothing was changed' },
  { status: EXIT.locked, meaning: 'another gwe is at work on this root' },
  { status: EXIT.noIdentity, meaning: 'neither uuid nor iface, or no product, is configured' },
];

export function exitStatusOf(code: ErrorCode): number {
  if (code.startsWith('USAGE_')) return EXIT.usage;
  if (code === 'STORE_LOCKED') return EXIT.locked;
  return code === 'CONFIG_NO_IDENTITY' ? EXIT.noIdentity : EXIT.failed;
}
