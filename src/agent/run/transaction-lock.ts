/** One transaction at a time on a root, whoever asks for it. */
import { GweError } from '../../base/errors.ts';
import { acquireLock, type LockOwner } from '../../base/lock.ts';
import type { AgentContext } from './context.ts';

export interface LockWait {
  /** How long to wait for whoever is in the middle of an update. */
  waitMs: number;
  /** Called once, before the wait begins. */
  onWait(owner: LockOwner): void;
  signal: AbortSignal;
}

const LOCK_POLL_MS = 200;
/** As long as the longest install.sh by default: a command line that takes longer is looked at again after a check-in. */
const BEHIND_COMMAND_LINE_MS = 3600 * 1000;

/** How the agent waits for an update that a person runs on the gateway: patiently, and not as a failed check-in. */
export function behindCommandLine(context: Pick<AgentContext, 'log'>, signal: AbortSignal): LockWait {
  const onWait = ({ pid, purpose }: LockOwner): void =>
    context.log.info('update.waiting', { pid, purpose }, 'another process is in the middle of an update');
  return { waitMs: BEHIND_COMMAND_LINE_MS, onWait, signal };
}

/**
 * One transaction at a time on a root, the agent's or a command line's. Throws STORE_LOCKED, naming the owner, when
 * the lock is not free at once or, with `wait`, in time.
 */
export async function withTransactionLock<T>(
  context: Pick<AgentContext, 'layout' | 'clock'>,
  work: () => Promise<T>,
  wait?: LockWait,
): Promise<T> {
  const endMs = context.clock.monotonicMs() + (wait?.waitMs ?? 0);
  let hasSaid = false;
  for (;;) {
    const lock = acquireLock(context.layout.transactionLock, 'transaction');
    if ('release' in lock) {
      try {
        return await work();
      } finally {
        lock.release();
      }
    }
    if (wait === undefined || wait.signal.aborted || context.clock.monotonicMs() >= endMs)
      throw busy(lock.heldBy);
    if (!hasSaid) wait.onWait(lock.heldBy);
    hasSaid = true;
    await context.clock.sleep(LOCK_POLL_MS, wait.signal);
  }
}

function busy(owner: LockOwner): GweError {
  return new GweError(
    'STORE_LOCKED',
    `cannot start an update: process ${owner.pid} is in the middle of one; try again when it is done`,
  );
}
