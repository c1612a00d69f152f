/** In one word, whether a gateway comes when expected: by the same rule that the platform counts by. */
import type { Gateway } from './replies.ts';

type Hearing = 'expected' | 'late' | 'silent' | 'neverSeen';

export function hearingOf(
  gateway: Pick<Gateway, 'isSilent' | 'lastSeenAt' | 'intervalS'>,
  nowS: number,
): Hearing {
  const { isSilent, lastSeenAt, intervalS } = gateway;
  if (isSilent) return 'silent';
  if (lastSeenAt === 0) return 'neverSeen';
  return intervalS > 0 && nowS > lastSeenAt + intervalS * 1.1 ? 'late' : 'expected';
}
