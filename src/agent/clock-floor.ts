/**
 * The earliest that it can be: the later of the build time and the last saved time. A gateway without a clock of its
 * own starts in 1970, where no certificate is valid yet, and must not stay there because of it.
 *
 * Only a moment that the platform named over TLS, and that this clock had reached as well, is ever saved. So a clock
 * that jumps ahead leaves no floor behind that would hold it there, and neither does a platform with a wrong one.
 */
import { dirname } from 'node:path';
import * as v from 'valibot';
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import { ensureDirectory, readTextBounded, writeFileDurable } from '../base/fs.ts';
import type { Logger } from '../base/log.ts';

const DAY_MS = 24 * 3600 * 1000;
/** Less is left to NTP, which may have stepped back a little since the floor was saved; no certificate minds. */
const TOLERANCE_MS = 3600 * 1000;
/** A stepped clock that is this near to the platform's needs no correction: its `Date` has whole seconds. */
const NEAR_MS = 2000;
/** The year 2200: what lies behind it is a damaged file. */
const LATEST_MS = 7_258_118_400_000;

const SavedSchema = v.object({
  version: v.literal(1),
  savedAtMs: v.pipe(v.number(), v.minValue(0), v.maxValue(LATEST_MS)),
});

export interface ClockFloorParts {
  clock: Pick<Clock, 'wallMs' | 'monotonicMs'>;
  log: Logger;
  /** Where the last saved time is kept. */
  path: string;
  /** Unix seconds, 0 if unknown. */
  buildTimeS: number;
  /** Whether gwe may set the clock of this machine. */
  maySet(): boolean;
  /** Sets the clock of this machine to Unix seconds. */
  set(unixS: number): Promise<void>;
}

export interface ClockFloor {
  floorMs(): number;
  /** Whether the clock is so far below the floor that it must be wrong. */
  isBelow(): boolean;
  /** Steps a clock that is below the floor forward to it, where gwe may; else says so, once. Never steps back. */
  hold(): Promise<void>;
  /** Whether nothing is left to be done about a clock that was wrong. */
  isSettled(): boolean;
  /** The platform's time, from an answer over TLS that named one. */
  heard(platformMs: number | undefined): void;
  /** The platform's time now, if it has told it in this process. */
  platformMs(): number | undefined;
  /** After a check-in: corrects a clock that `hold` has stepped, or saves the time, at most once a day. */
  settle(): Promise<void>;
  /** Saves the time now, if the platform has told it. */
  save(): void;
}

export function createClockFloor(parts: ClockFloorParts): ClockFloor {
  const { clock, log, path } = parts;
  let platform: { ms: number; heardAtMs: number } | undefined;
  let hasStepped = false;
  let hasComplained = false;
  const floorMs = (): number => Math.max(parts.buildTimeS * 1000, readSaved(path));
  const isBelow = (): boolean => clock.wallMs() < floorMs() - TOLERANCE_MS;
  const platformMs = (): number | undefined =>
    platform === undefined ? undefined : platform.ms + clock.monotonicMs() - platform.heardAtMs;

  const complain = (reason: string): void => {
    if (!hasComplained) log.warn('clock.behind', { floor: moment(floorMs()) }, reason);
    hasComplained = true;
  };
  /** True if the clock has been set. Rounded up: whole seconds below the floor would be below it. */
  const set = async (toMs: number, event: string): Promise<boolean> => {
    const from = moment(clock.wallMs());
    try {
      await parts.set(Math.ceil(toMs / 1000));
    } catch (error) {
      complain(`the clock says ${from} and could not be set: ${describeError(error)}`);
      return false;
    }
    log.warn(event, { from, to: moment(toMs) }, 'the clock of this machine was set');
    return true;
  };
  const saveAfter = (leastMs: number): void => {
    const heardMs = platformMs();
    if (heardMs === undefined || hasStepped) return;
    const savedAtMs = Math.floor(Math.min(heardMs, clock.wallMs()));
    if (savedAtMs <= floorMs() + leastMs || savedAtMs > LATEST_MS) return;
    try {
      ensureDirectory(dirname(path));
      writeFileDurable(path, `${JSON.stringify({ version: 1, savedAtMs })}\n`);
    } catch (error) {
      log.warn('clock.save', {}, describeError(error));
    }
  };
  return {
    floorMs,
    isBelow,
    isSettled: () => !hasStepped && !isBelow(),
    async hold() {
      if (!isBelow()) return;
      if (parts.maySet()) hasStepped = (await set(floorMs(), 'clock.stepped')) || hasStepped;
      else complain(`the clock says ${moment(clock.wallMs())}, which cannot be: certificates may not verify`);
    },
    heard(ms) {
      if (ms !== undefined) platform = { ms, heardAtMs: clock.monotonicMs() };
    },
    platformMs,
    async settle() {
      const heardMs = platformMs();
      if (!hasStepped || heardMs === undefined) return saveAfter(DAY_MS);
      const targetMs = Math.max(heardMs, floorMs());
      if (Math.abs(targetMs - clock.wallMs()) >= NEAR_MS) await set(targetMs, 'clock.corrected');
      hasStepped = false;
      // Saved only after an exchange whose certificates were verified under the corrected clock.
      platform = undefined;
    },
    save: () => saveAfter(0),
  };
}

function moment(ms: number): string {
  return new Date(ms).toISOString();
}

/** A damaged file counts as none. */
function readSaved(path: string): number {
  try {
    return v.parse(SavedSchema, JSON.parse(readTextBounded(path, 4096) ?? 'null')).savedAtMs;
  } catch {
    return 0;
  }
}
