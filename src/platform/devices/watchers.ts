/** The long polls of this process that wait for a write to a device. */
import type { Clock } from '../../base/clock.ts';
import { MAX_LONG_POLLS_PER_DEVICE } from '../bounds.ts';

interface Watch {
  /** True when something was written to the device since the last call; false at the deadline or at the end. */
  changed(deadlineMs: number): Promise<boolean>;
  close(): void;
}

export interface Watchers {
  /** `undefined` if too many already wait for this device. */
  watch(deviceId: number, signal: AbortSignal): Watch | undefined;
  /** Wakes the long polls that wait for one of these devices; all of them, if no devices are given. */
  notify(deviceIds: readonly number[] | undefined): void;
  /** Ends all waiting: those that wait are woken, and later ones return at once. */
  end(): void;
}

interface Entry {
  isDirty: boolean;
  wake: AbortController;
}

export function createWatchers(clock: Clock): Watchers {
  const watches = new Map<number, Set<Entry>>();
  let hasEnded = false;
  return {
    watch(deviceId, signal) {
      const entries = watches.get(deviceId) ?? new Set<Entry>();
      if (entries.size >= MAX_LONG_POLLS_PER_DEVICE) return undefined;
      const entry: Entry = { isDirty: false, wake: new AbortController() };
      const end = (): void => entry.wake.abort();
      signal.addEventListener('abort', end);
      watches.set(deviceId, entries.add(entry));
      return {
        changed: (deadlineMs) => waitForChange(entry, clock, hasEnded ? 0 : deadlineMs, signal),
        close() {
          signal.removeEventListener('abort', end);
          entries.delete(entry);
          if (entries.size === 0) watches.delete(deviceId);
        },
      };
    },
    end() {
      hasEnded = true;
      for (const entries of watches.values()) for (const { wake } of entries) wake.abort();
    },
    notify(deviceIds) {
      for (const deviceId of deviceIds ?? watches.keys()) {
        for (const entry of watches.get(deviceId) ?? []) {
          entry.isDirty = true;
          entry.wake.abort();
        }
      }
    },
  };
}

async function waitForChange(
  entry: Entry,
  clock: Clock,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const leftMs = deadlineMs - clock.monotonicMs();
  if (!entry.isDirty && leftMs > 0 && !signal.aborted) await clock.sleep(leftMs, entry.wake.signal);
  const changed = entry.isDirty;
  entry.isDirty = false;
  entry.wake = new AbortController();
  return changed && !signal.aborted;
}
