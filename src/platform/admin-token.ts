/** The one token of all management calls: compared in constant time, guesses slowed down by address. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { type Exchange, header, Refusal } from './exchange.ts';
import { createFailureGuard } from './failure-guard.ts';
import { MAX_TOKEN_FAILURES } from './limits.ts';

export interface TokenGuard {
  /** Refuses with 401 without the token, 429 after too many failures from one address. */
  check(exchange: Exchange): void;
}

/** The digests are compared, so that neither content nor length shows in the time it takes. */
export function createTokenGuard(token: string, clock: Pick<Clock, 'monotonicMs'>): TokenGuard {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const expected = digest(token);
  const failures = createFailureGuard(MAX_TOKEN_FAILURES, { doing: 'manage', what: 'wrong tokens' }, clock);
  return {
    check(exchange) {
      failures.check(exchange);
      const given = header(exchange, 'x-exosite-token') ?? header(exchange, 'x-exosite-cik') ?? '';
      if (timingSafeEqual(digest(given.trim()), expected)) return;
      failures.count(exchange);
      throw new Refusal(401, 'cannot manage: expected the admin token in X-Exosite-Token');
    },
  };
}
