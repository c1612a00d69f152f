/** One agent on a root. */
import { describeError, GweError, systemCode } from '../../base/errors.ts';
import { ensureDirectory } from '../../base/fs.ts';
import { acquireLock, type Lock, lockHolder } from '../../base/lock.ts';
import type { AgentContext } from './context.ts';

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;
/** A disk where nobody can take a lock. */
const NO_DISK = new Set(['EROFS', 'ENOSPC', 'EDQUOT', 'EIO']);

interface LockWish {
  /** This process held it before it became the program that it is now. */
  isOurs: boolean;
  /** Fail rather than wait. */
  once: boolean;
  signal: AbortSignal;
}

export interface AgentLock extends Lock {
  /** Takes it if it is not held yet. Throws STORE_* where it still cannot be, STORE_LOCKED if somebody else has it by now. */
  require(): void;
}

/**
 * On a disk that takes nothing (run/gwe is full or read-only) the agent goes on without the lock, since nobody else can
 * take it either: it reads and reports, and carries nothing out before it has the lock. Where gwe may not write it is
 * tried again and again: ended, gwe would be given up by supervisord. `undefined` when the signal came first. Throws
 * STORE_LOCKED if another agent runs on this root.
 */
export async function takeAgentLock(
  context: Pick<AgentContext, 'layout' | 'clock' | 'log'>,
  wish: LockWish,
): Promise<AgentLock | undefined> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    try {
      return createAgentLock(context, tryAgentLock(context, wish.isOurs));
    } catch (error) {
      const mayPass = error instanceof GweError && /^STORE_(NO_SPACE|READ_ONLY|IO)$/.test(error.code);
      if (!mayPass) throw error;
      const isWithout = NO_DISK.has(systemCode(error) ?? '');
      if (wish.once && !isWithout) throw error;
      context.log.error(
        'agent.no-lock',
        isWithout ? {} : { retryMs: pauseMs },
        `${describeError(error)}${isWithout ? '; gwe goes on without, and commands wait' : ''}`,
      );
      if (isWithout) {
        const holder = lockHolder(context.layout.agentLock);
        if (holder !== undefined && holder.pid !== process.pid) throw heldByOther(context, holder.pid);
        return createAgentLock(context, undefined);
      }
    }
    await context.clock.sleep(pauseMs, wish.signal);
    if (wish.signal.aborted) return undefined;
  }
}

function createAgentLock(context: Pick<AgentContext, 'layout'>, taken: Lock | undefined): AgentLock {
  let lock = taken;
  return {
    release: () => lock?.release(),
    require() {
      lock ??= tryAgentLock(context, false);
    },
  };
}

function tryAgentLock(context: Pick<AgentContext, 'layout'>, isOurs: boolean): Lock {
  const { layout } = context;
  ensureDirectory(layout.runDirectory);
  ensureState(layout.stateDirectory);
  const lock = acquireLock(layout.agentLock, 'agent', isOurs);
  if ('release' in lock) return lock;
  throw heldByOther(context, lock.heldBy.pid);
}

/** It is no part of the lock: without it commands wait, as on every disk that takes nothing. */
function ensureState(directory: string): void {
  try {
    ensureDirectory(directory);
  } catch (error) {
    if (!NO_DISK.has(systemCode(error) ?? '')) throw error;
  }
}

function heldByOther({ layout }: Pick<AgentContext, 'layout'>, pid: number): GweError {
  return new GweError(
    'STORE_LOCKED',
    `cannot run: another gwe (process ${pid}) runs on root '${layout.root}'; stop it first`,
  );
}
