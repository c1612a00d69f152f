/** Setting the clock of this machine, by the `date` that every Linux has (busybox's takes the same words). */
import type { Clock } from '../../base/clock.ts';
import { GweError } from '../../base/errors.ts';
import { runProcess } from '../../base/process.ts';
import type { EngineSettings } from '../../config/schema.ts';

const TIMEOUT_MS = 10_000;
const USUAL_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Whether gwe may: as root, where the operator has not forbidden it (`set_clock`), and on the real root alone, because
 * a gateway in a directory of its own shares the clock of the machine around it.
 */
export function maySetClock(who: {
  root: string;
  uid: number | undefined;
  wish: EngineSettings['setClock'];
}): boolean {
  return who.root === '/' && who.uid === 0 && who.wish === 'auto';
}

/** Sets the clock to Unix seconds. Throws STORE_IO with what `date` said, INSTALL_FAILED if there is none. */
export async function setClock(
  unixS: number,
  options: { path: string | undefined; clock: Clock; signal: AbortSignal },
): Promise<void> {
  const { end, output } = await runProcess(['date', '-u', '-s', `@${unixS}`], {
    env: { PATH: options.path ?? USUAL_PATH, LC_ALL: 'C' },
    timeoutMs: TIMEOUT_MS,
    captureBytes: 512,
    signal: options.signal,
    clock: options.clock,
  });
  if (end.kind === 'exit' && end.code === 0) return;
  throw new GweError('STORE_IO', `cannot set the clock: ${output.trim() || `date ended by ${end.kind}`}`);
}
