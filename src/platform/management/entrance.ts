/**
 * Where and by whom management calls may be made: the operators' own listener, the names of this machine, the token.
 */
import { isIP } from 'node:net';
import type { ClientAddresses } from '../http/client-address.ts';
import { type Exchange, header, Refusal, type Reply } from '../http/exchange.ts';
import type { TokenGuard } from './admin-token.ts';

export interface Entrance {
  /** Whose calls this listener takes. */
  serves: 'devices' | 'operators' | 'all';
  /** Only this machine itself can reach the listener. */
  isLoopback: boolean;
  guard: TokenGuard;
  addresses: ClientAddresses;
}

/** Answers the calls of operators that do not belong to v1. */
export type OperatorApi = (entrance: Entrance, exchange: Exchange) => Promise<Reply>;

/**
 * Refuses a management call that does not belong here (404), was made by a web page (403), or has no valid token
 * (401, 429).
 */
export function enterManagement(entrance: Entrance, exchange: Exchange): void {
  enterOperators(entrance, exchange);
  entrance.guard.check(exchange);
  exchange.admit();
}

/** The same without checking the token. */
export function enterOperators(entrance: Entrance, exchange: Exchange): void {
  if (entrance.serves === 'devices')
    throw new Refusal(404, 'cannot manage here: this platform has another address for operators');
  checkSource(entrance, exchange);
}

/** Refuses a device's call on the listener of the operators. */
export function enterDevices(entrance: Entrance): void {
  if (entrance.serves === 'operators')
    throw new Refusal(404, 'cannot find this path: this address is for operators, devices have another');
}

/**
 * A browser on the operator's machine may show a stranger's page, which can send requests to this machine under a
 * host name of its own that it has made to resolve to 127.0.0.1. Such a request has a different Host, or an Origin
 * that is not ours.
 */
function checkSource({ isLoopback, addresses }: Entrance, exchange: Exchange): void {
  const host = header(exchange, 'host') ?? '';
  const origin = header(exchange, 'origin');
  if (origin !== undefined && !(URL.canParse(origin) && new URL(origin).host === host.toLowerCase()))
    throw new Refusal(403, 'cannot manage: the request comes from a page of another origin');
  if (!isLoopback || addresses.isProxy(exchange.request.socket.remoteAddress)) return;
  const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  if (isIP(name) === 0 && name.toLowerCase() !== 'localhost')
    throw new Refusal(403, 'cannot manage: expected this machine in Host, by its address or as localhost');
}
