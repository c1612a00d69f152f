/** What happens by the passing of time alone, once a second: deadlines of rollouts, the ends of their waves. */
import type { Clock } from '../../base/clock.ts';
import { describeError, GweError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Storage } from '../storage/storage.ts';

const TICK_MS = 1000;

/** Resolves after `closing`. Never rejects: errors are logged, and the next tick tries again. */
export async function keepTicking(
  storage: Pick<Storage, 'tickRollouts'>,
  { clock, log }: { clock: Clock; log: Logger },
  closing: AbortSignal,
): Promise<void> {
  while (!closing.aborted) {
    await clock.sleep(TICK_MS, closing);
    if (closing.aborted) return;
    await storage.tickRollouts().catch((error: unknown) => {
      // While nothing may be written, nothing changes.
      if (error instanceof GweError && error.code === 'PLATFORM_READ_ONLY') return;
      log.error('platform.failed', { method: 'tick' }, describeError(error));
    });
  }
}
