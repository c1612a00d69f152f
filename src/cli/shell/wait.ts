/** `--wait` and `--timeout`: looking until something has come about. */
import { GweError } from '../../base/errors.ts';
import type { CommandIo, OptionSpec, ParsedOptions } from './command.ts';

export const TIMEOUT_OPTION: OptionSpec = {
  name: 'timeout',
  value: 'SECONDS',
  help: 'with --wait: stop waiting after this long; what is under way is not stopped',
};

/** Milliseconds. Throws USAGE_BAD_VALUE. */
export function readTimeout(options: ParsedOptions, usualS: number): number {
  const text = options.text('timeout');
  if (text !== undefined && !options.has('wait'))
    throw new GweError('USAGE_BAD_OPTION', '--timeout goes only with --wait; nothing was done');
  if (text !== undefined && !/^[1-9]\d{0,6}$/.test(text))
    throw new GweError(
      'USAGE_BAD_VALUE',
      `--timeout: found '${text.slice(0, 40)}', expected seconds above 0`,
    );
  return Number(text ?? usualS) * 1000;
}

/** What `look` finds, or `undefined` when the time is over. Throws CANCELLED on Ctrl-C. */
export async function pollUntil<T>(
  io: Pick<CommandIo, 'clock' | 'signal'>,
  times: { timeoutMs: number; lookMs: number },
  look: () => Promise<T | undefined>,
): Promise<T | undefined> {
  const endMs = io.clock.monotonicMs() + times.timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined || io.clock.monotonicMs() >= endMs) return found;
    await io.clock.sleep(times.lookMs, io.signal).catch(() => undefined);
    if (io.signal.aborted) throw new GweError('CANCELLED', 'interrupted: what was requested goes on');
  }
}
