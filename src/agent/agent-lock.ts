/** One agent on a root. */
import { describeError, GweError } from '../base/errors.ts';
import { ensureDirectory } from '../base/fs.ts';
import { acquireLock, type Lock } from '../base/lock.ts';
import type { AgentContext } from './context.ts';

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;

export interface LockWish {
  /** This process held it before it became the program that it is now. */
  isOurs: boolean;
  /** Fail rather than wait for room. */
  once: boolean;
  signal: AbortSignal;
}

/**
 * Where the lock cannot be written (run/gwe is full or read-only) it is tried again and again: ended, gwe would be given up
 * by supervisord. `undefined` when the signal came first. Throws STORE_LOCKED if another agent runs on this root.
 */
export async function takeAgentLock(context: AgentContext, wish: LockWish): Promise<Lock | undefined> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    try {
      return tryAgentLock(context, wish.isOurs);
    } catch (error) {
      const mayPass = error instanceof GweError && /^STORE_(NO_SPACE|IO)$/.test(error.code);
      if (!mayPass || wish.once) throw error;
      context.log.error('agent.no-lock', { retryMs: pauseMs }, describeError(error));
    }
    await context.clock.sleep(pauseMs, wish.signal);
    if (wish.signal.aborted) return undefined;
  }
}

function tryAgentLock({ layout }: AgentContext, isOurs: boolean): Lock {
  ensureDirectory(layout.runDirectory);
  ensureDirectory(layout.stateDirectory);
  const lock = acquireLock(layout.agentLock, 'agent', isOurs);
  if ('release' in lock) return lock;
  throw new GweError(
    'STORE_LOCKED',
    `cannot run: another gwe (process ${lock.heldBy.pid}) runs on root '${layout.root}'; stop it first`,
  );
}
