import * as v from 'valibot';
import { type Clock, uptimeMs } from '../../base/clock.ts';
import { readWhenChanged } from '../../base/edited-file.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { bootId } from '../../base/process.ts';
import { type StoredFile, storedFile } from '../../base/stored-file.ts';
import type { Validity } from '../../protocol/transport-tls.ts';

/**
 * The earliest that it can be: the later of the build time and the last saved time. A gateway without a clock of its
 * own starts in 1970, where no certificate is valid yet, and must not stay there because of it.
 *
 * Only a moment that the platform named over TLS, and that this clock had reached as well, is ever saved. So a clock
 * that jumps ahead leaves no floor behind that would hold it there, and neither does a platform with a wrong one.
 *
 * A clock that was stepped is no evidence. Only the platform's time corrects it, and that may be a lie: it counts in
 * full where the platform's certificate is valid at that time, and otherwise only up to the time that can have
 * passed.
 */

const DAY_MS = 24 * 3600 * 1000;
/**
 * Smaller differences are left to NTP, which may have stepped back a little since the floor was saved; no certificate
 * depends on that.
 */
const TOLERANCE_MS = 3600 * 1000;
/** A stepped clock that is this near to the platform's needs no correction: its `Date` has whole seconds. */
const NEAR_MS = 2000;
/** The year 2200: a later time means a damaged file. */
const LATEST_MS = 7_258_118_400_000;

const NOT_VALID = 'its certificate is not valid at that time';
const LARGEST_SAVED_BYTES = 4096;

const SavedSchema = v.object({
  version: v.literal(1),
  savedAtMs: v.pipe(v.number(), v.minValue(0), v.maxValue(LATEST_MS)),
  /** The boot in which it was saved. */
  bootId: v.optional(v.string()),
});

interface ClockFloorParts {
  /** Milliseconds since this machine's boot. */
  uptimeMs(): number;
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
  /** It is not earlier than this: the floor, and the time since a boot that came after it. */
  leastMs(): number;
  /** Whether the clock is so far below the floor that it must be wrong. */
  isBelow(): boolean;
  /** Steps a clock that is below the floor forward to it, where gwe may; else says so, once. Never steps back. */
  hold(): Promise<void>;
  /** Whether nothing is left to be done about a clock that was wrong. */
  isSettled(): boolean;
  /**
   * The platform's time, from an answer over TLS that named one, and when the certificate of that connection is
   * valid.
   */
  heard(platformMs: number | undefined, validity?: Validity): void;
  /** The platform's time now, if it has told it in this process. */
  platformMs(): number | undefined;
  /** After a check-in: corrects a clock that `hold` has stepped, or saves the time, at most once a day. */
  settle(): Promise<void>;
  /** Saves the time now, if the platform has told it. */
  save(): void;
}

export function createClockFloor(parts: ClockFloorParts): ClockFloor {
  const { clock, log } = parts;
  const saved = savedFile(parts.path);
  const before = savedReader(parts.path, saved);
  let platform: { ms: number; heardAtMs: number; isConfirmed: boolean } | undefined;
  let hasStepped = false;
  let hasComplained = false;
  const floorMs = (): number => Math.max(parts.buildTimeS * 1000, before()?.savedAtMs ?? 0);
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
      saved.write({ version: 1, savedAtMs, bootId: bootId() });
    } catch (error) {
      log.warn('clock.save', {}, describeError(error));
    }
  };
  const leastMs = (): number => {
    const last = before();
    // Saved in this boot, it is from somewhere within it: how long ago is not known.
    const sinceMs = last === undefined || last.bootId === bootId() ? 0 : uptimeMs();
    return Math.max(floorMs(), (last?.savedAtMs ?? 0) + sinceMs);
  };
  return {
    floorMs,
    leastMs,
    isBelow,
    isSettled: () => !hasStepped && !isBelow(),
    async hold() {
      if (!isBelow()) return;
      if (parts.maySet()) hasStepped = (await set(floorMs(), 'clock.stepped')) || hasStepped;
      else complain(`the clock says ${moment(clock.wallMs())}, which is wrong: certificates may not verify`);
    },
    heard(ms, validity) {
      if (ms !== undefined)
        platform = { ms, heardAtMs: clock.monotonicMs(), isConfirmed: isWithin(ms, validity) };
    },
    platformMs,
    async settle() {
      const heardMs = platformMs();
      if (!hasStepped || heardMs === undefined) return saveAfter(DAY_MS);
      const latestMs = platform?.isConfirmed === true ? LATEST_MS : floorMs() + parts.uptimeMs() + DAY_MS;
      if (heardMs > latestMs) complain(`the platform says ${moment(heardMs)}: ${NOT_VALID}`);
      const targetMs = Math.max(Math.min(heardMs, latestMs), floorMs());
      if (Math.abs(targetMs - clock.wallMs()) >= NEAR_MS) await set(targetMs, 'clock.corrected');
      hasStepped = false;
      // Saved only after an exchange whose certificates were verified under the corrected clock.
      platform = undefined;
    },
    save: () => saveAfter(0),
  };
}

/** What was saved, as far as it can be read. */
function savedReader<T>(path: string, saved: StoredFile<T>): () => T | undefined {
  const read = readWhenChanged(path, () => saved.read());
  return () => {
    try {
      return read();
    } catch {
      return undefined;
    }
  };
}

function isWithin(ms: number, validity: Validity | undefined): boolean {
  return validity !== undefined && ms >= validity.fromMs && ms <= validity.untilMs;
}

function moment(ms: number): string {
  return new Date(ms).toISOString();
}

/** The later of both copies counts. */
export function savedFile(path: string): StoredFile<v.InferOutput<typeof SavedSchema>> {
  return storedFile(path, {
    schema: SavedSchema,
    limitBytes: LARGEST_SAVED_BYTES,
    copy: { merge: (file, copy) => (copy.savedAtMs > file.savedAtMs ? copy : file) },
  });
}
