/** With nothing left of the month's bytes a gateway still looks for commands once a day: it is never mute forever. */
import * as v from 'valibot';
import { bootId } from '../../base/process.ts';
import { storedFile } from '../../base/stored-file.ts';
import type { TrafficPurpose } from '../../protocol/transport-types.ts';

/** A little less than a day, so that the time of the look does not drift. */
const BETWEEN_LOOKS_MS = 23 * 3600 * 1000;
/** What taking a command over needs right after it was read. */
const LOOK_MS = 60_000;
const MOST_OF_LOOK = 4;
/** The most of one answer, and of all but the last: a platform cannot spend more by sending what nobody asked for. */
export const LOOK_REPLY_BYTES = 16 * 1024;
const SMALL: ReadonlySet<TrafficPurpose> = new Set(['read', 'time', 'provision']);
const LARGEST_LOOK_BYTES = 4096;
const LookSchema = v.object({
  bootId: v.string(),
  uptimeMs: v.number(),
  requests: v.number(),
  usedBytes: v.number(),
});
type Look = v.InferOutput<typeof LookSchema>;

/**
 * Returns whether a request may begin as part of the look of this day, and counts it. `usedBytes`: of the month.
 * `path` is of this boot alone (tmpfs).
 */
export function createDailyLook(
  path: string,
  uptimeMs: () => number,
): (purpose: TrafficPurpose, usedBytes: number) => boolean {
  const file = storedFile(path, { schema: LookSchema, limitBytes: LARGEST_LOOK_BYTES });
  let last: Look | undefined;
  const read = (): Look | undefined => {
    const look = file.readOr(undefined) ?? last;
    return look?.bootId === bootId() ? look : undefined;
  };
  return (purpose, usedBytes) => {
    if (!SMALL.has(purpose)) return false;
    const nowMs = uptimeMs();
    const look = read();
    const agoMs = look === undefined ? Number.POSITIVE_INFINITY : nowMs - look.uptimeMs;
    if (look !== undefined && agoMs < BETWEEN_LOOKS_MS) {
      const isOver = agoMs > LOOK_MS || look.requests >= MOST_OF_LOOK;
      if (isOver || usedBytes - look.usedBytes > LOOK_REPLY_BYTES) return false;
      last = { ...look, requests: look.requests + 1 };
    } else last = { bootId: bootId(), uptimeMs: nowMs, requests: 1, usedBytes };
    try {
      file.write(last);
    } catch {
      // This process remembers it.
    }
    return true;
  };
}
