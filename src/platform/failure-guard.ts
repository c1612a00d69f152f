/** Failures counted by address, so that guessing is slow. */
import type { Clock } from '../base/clock.ts';
import { type Exchange, Refusal } from './exchange.ts';
import { FAILURE_WINDOW_MS } from './limits.ts';

export interface FailureGuard {
  /** Refuses with 429 while the address of the request has had too many failures. */
  check(exchange: Exchange): void;
  /** Counts one more. */
  count(exchange: Exchange): void;
}

/** Addresses remembered; beyond it the oldest is forgotten. */
const MAX_ADDRESSES = 10_000;

interface Failures {
  count: number;
  untilMs: number;
}

/** `doing` and `what` read `cannot manage: too many wrong tokens from this address`. */
export function createFailureGuard(
  most: number,
  words: { doing: string; what: string },
  clock: Pick<Clock, 'monotonicMs'>,
): FailureGuard {
  const failures = new Map<string, Failures>();
  const recent = (address: string): Failures | undefined => {
    const found = failures.get(address);
    return found !== undefined && found.untilMs > clock.monotonicMs() ? found : undefined;
  };
  return {
    check(exchange) {
      const found = recent(addressOf(exchange));
      if (found === undefined || found.count < most) return;
      const text = `cannot ${words.doing}: too many ${words.what} from this address, try again later`;
      const seconds = Math.ceil((found.untilMs - clock.monotonicMs()) / 1000);
      throw new Refusal(429, text, { 'retry-after': String(seconds) });
    },
    count(exchange) {
      const address = addressOf(exchange);
      const before = recent(address);
      failures.delete(address);
      failures.set(address, {
        count: (before?.count ?? 0) + 1,
        untilMs: before?.untilMs ?? clock.monotonicMs() + FAILURE_WINDOW_MS,
      });
      if (failures.size > MAX_ADDRESSES) failures.delete(failures.keys().next().value ?? '');
    },
  };
}

/** Who has one address of IPv6 has 2^64 of them: the first half counts. */
export function addressKey(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address;
  const [front = '', back] = address.replace(/%.*$/, '').split('::');
  const groups = front === '' ? [] : front.split(':');
  const behind = back === undefined || back === '' ? 0 : back.split(':').length;
  const zeros = back === undefined ? 0 : 8 - groups.length - behind;
  return [...groups, ...Array<string>(zeros).fill('0'), ...(back ?? '').split(':')].slice(0, 4).join(':');
}

const addressOf = (exchange: Exchange): string => addressKey(exchange.request.socket.remoteAddress ?? '');
