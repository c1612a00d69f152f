/** The one token of all management calls: compared in constant time, guesses slowed down by address. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { type Exchange, header, Refusal } from './exchange.ts';
import { MAX_TOKEN_FAILURES, TOKEN_FAILURE_WINDOW_MS } from './limits.ts';

export interface TokenGuard {
  /** Refuses with 401 without the token, 429 after too many failures from one address. */
  check(exchange: Exchange): void;
}

/** Addresses remembered; beyond it the oldest is forgotten. */
const MAX_ADDRESSES = 10_000;

interface Failures {
  count: number;
  untilMs: number;
}

/** The digests are compared, so that neither content nor length shows in the time it takes. */
export function createTokenGuard(token: string, clock: Pick<Clock, 'monotonicMs'>): TokenGuard {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const expected = digest(token);
  const failures = new Map<string, Failures>();
  return {
    check(exchange) {
      const address = exchange.request.socket.remoteAddress ?? '';
      const now = clock.monotonicMs();
      const before = failures.get(address);
      const recent = before !== undefined && before.untilMs > now ? before : undefined;
      if (recent !== undefined && recent.count >= MAX_TOKEN_FAILURES) throw tooMany(recent.untilMs - now);
      const given = header(exchange, 'x-exosite-token') ?? header(exchange, 'x-exosite-cik') ?? '';
      if (timingSafeEqual(digest(given.trim()), expected)) return;
      failures.delete(address);
      failures.set(address, {
        count: (recent?.count ?? 0) + 1,
        untilMs: recent?.untilMs ?? now + TOKEN_FAILURE_WINDOW_MS,
      });
      if (failures.size > MAX_ADDRESSES) failures.delete(failures.keys().next().value ?? '');
      throw new Refusal(401, 'cannot manage: expected the admin token in X-Exosite-Token');
    },
  };
}

function tooMany(leftMs: number): Refusal {
  return new Refusal(429, 'cannot manage: too many wrong tokens from this address, try again later', {
    'retry-after': String(Math.ceil(leftMs / 1000)),
  });
}
