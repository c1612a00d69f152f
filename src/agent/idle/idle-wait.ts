/** What the agent does between check-ins: as little as it can. */
import { existsSync } from 'node:fs';
import { uptimeMs } from '../../base/clock.ts';
import { removeIfPossible } from '../../base/fs.ts';
import { collectGarbage } from '../../base/memory.ts';
import type { AgentContext } from '../run/context.ts';
import { type AgentMemory, canHandOver, type HandoverParts, handOver, type Woken } from './handover.ts';
import type { LongPolls } from './long-poll.ts';

/** Between two looks at programs that have just been updated. */
const WATCH_POLL_MS = 2000;
/** sleep(1) may end that much before the time is up. */
const EARLY_MS = 2000;

interface IdleWaitParts {
  context: AgentContext;
  signal: AbortSignal;
  /** Without it there is nothing that this process could become. */
  handover: Omit<HandoverParts, 'context' | 'isWanted'> | undefined;
  memory(dueUptimeMs: number): AgentMemory;
  polls: Pick<LongPolls, 'isWanted' | 'listen'>;
}

export interface IdleWait {
  /** Ends the wait, also one that is still to come. */
  wake(): void;
  /** A check-in begins: what asked for it so far is answered by it. */
  beginCheckIn(): void;
  /**
   * Sleeps until the next check-in, a wake-up or the end. While an update is being watched it looks at its program now
   * and then, and ends early when it took one back: that report should not wait. With `isListening` it also ends when a
   * command is written, and this process stays what it is.
   */
  wait(delayMs: number, isListening: boolean): Promise<void>;
  /** Goes on with the wait of a process that had gone to sleep, should it be back too early. */
  resumeWait(woken: Woken): Promise<void>;
}

export function createIdleWait({ context, signal, handover, memory, polls }: IdleWaitParts): IdleWait {
  const { clock, watcher, layout } = context;
  let alarm = new AbortController();
  let mayHandOver = true;
  // On a read-only disk a mark that has been answered stays.
  let isMarkOld = false;
  const isMarked = (): boolean => !isMarkOld && existsSync(layout.wakeMark);
  const isWanted = (): boolean => !signal.aborted && !alarm.signal.aborted && !isMarked();

  const sleep = async (delayMs: number, isListening: boolean, until: AbortSignal): Promise<void> => {
    const dueUptimeMs = uptimeMs() + delayMs;
    const endMs = clock.monotonicMs() + delayMs;
    while (!until.aborted && isWanted() && clock.monotonicMs() < endMs) {
      if (watcher.isOpen()) {
        const { takeBackLoopers } = await import('../effects/recover.ts');
        if (await takeBackLoopers(context, signal)) return;
      }
      const leftMs = endMs - clock.monotonicMs();
      const parts = handover === undefined ? undefined : { ...handover, context, isWanted };
      if (mayHandOver && !isListening && parts !== undefined && canHandOver(parts, leftMs)) {
        mayHandOver = await handOver(parts, memory(dueUptimeMs));
        continue;
      }
      const isLong = !watcher.isOpen();
      if (isLong) collectGarbage();
      await clock.sleep(isLong ? leftMs : Math.min(leftMs, WATCH_POLL_MS), until);
    }
  };
  const wait = async (delayMs: number, isListening: boolean): Promise<void> => {
    const over = new AbortController();
    const until = AbortSignal.any([signal, alarm.signal, over.signal]);
    const listening = isListening
      ? polls.listen(delayMs, until).then((hasFound) => hasFound && over.abort())
      : undefined;
    try {
      await sleep(delayMs, isListening, until);
    } finally {
      over.abort();
      await listening;
    }
  };
  return {
    wake: () => alarm.abort(),
    beginCheckIn() {
      alarm = new AbortController();
      isMarkOld = existsSync(layout.wakeMark) && !removeIfPossible(layout.wakeMark);
    },
    wait,
    async resumeWait({ memory: { dueUptimeMs }, wokenBy }) {
      const leftMs = dueUptimeMs - uptimeMs();
      context.log.debug('agent.woken', { by: wokenBy, left_ms: Math.round(Math.max(0, leftMs)) });
      if (wokenBy === 'signal' || leftMs <= EARLY_MS) return;
      // What was written meanwhile would be no news to a long poll.
      if (polls.isWanted(leftMs)) return;
      // No sleep(1) here, or somebody ended it: another handover would not last either.
      mayHandOver = false;
      await wait(leftMs, false);
    },
  };
}
