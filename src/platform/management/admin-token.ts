/** The one token of all management calls: compared in constant time, with guesses slowed down by address. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { MAX_TOKEN_FAILURES } from '../bounds.ts';
import { type Exchange, header, Refusal } from '../http/exchange.ts';
import { createFailureGuard } from '../http/failure-guard.ts';

export interface TokenGuard {
  /**
   * Refuses with 401 a request without the token, and with 429 one from an address with too many failures. A request
   * with the right token is admitted whatever others at the same address have tried.
   */
  check(exchange: Exchange): void;
  /** Identifies this token, and reveals nothing about it. */
  readonly tokenId: string;
}

/** Digests are compared, so that the time taken shows neither content nor length. */
export function createTokenGuard(token: string, clock: Pick<Clock, 'monotonicMs'>): TokenGuard {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const expected = digest(token);
  const failures = createFailureGuard(MAX_TOKEN_FAILURES, { doing: 'manage', what: 'wrong tokens' }, clock);
  return {
    tokenId: digest(`id of ${expected.toString('hex')}`)
      .toString('hex')
      .slice(0, 10),
    check(exchange) {
      const bearer = /^Bearer (\S+)$/i.exec(header(exchange, 'authorization') ?? '')?.[1];
      const given = header(exchange, 'x-exosite-token') ?? header(exchange, 'x-exosite-cik') ?? bearer ?? '';
      if (timingSafeEqual(digest(given.trim()), expected)) return;
      failures.check(exchange.address);
      failures.count(exchange.address);
      throw new Refusal(401, 'cannot manage: expected the admin token in X-Exosite-Token');
    },
  };
}
