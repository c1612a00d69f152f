/** A TCP connection to whichever address of a host answers first (RFC 8305). */
import { lookup } from 'node:dns/promises';
import * as net from 'node:net';
import type { Clock } from '../base/clock.ts';
import { systemCode } from '../base/errors.ts';

export interface Target {
  address: string;
  port: number;
}

interface ConnectParts {
  clock: Pick<Clock, 'sleep'>;
  /** Ends every attempt; its reason is the error. */
  signal: AbortSignal;
  /** Whether addresses of this machine and its link are skipped. */
  refusesLocal?: boolean | undefined;
  /** Begins an attempt. */
  open?(target: Target): net.Socket;
}

/**
 * After this the next address is tried beside the ones before. The runtime would give an address up after the same
 * time: on a satellite or a crowded cell no handshake is that quick, and gwe would never connect.
 */
const ATTEMPT_DELAY_MS = 250;
/** A name with more addresses is answered by all of them or by none. */
const MOST_ATTEMPTS = 8;

/** Rejects with the error of the name's lookup, or of the attempts: one AggregateError, the most telling first. */
export async function connectTo(host: string, port: number, parts: ConnectParts): Promise<net.Socket> {
  const found = net.isIP(host) === 0 ? await orAborted(resolve(host), parts.signal) : [host];
  const addresses = parts.refusesLocal === true ? found.filter((each) => !isLocalAddress(each)) : found;
  if (addresses.length < found.length && addresses.length === 0)
    throw new Error('the name leads to this machine or its link');
  return race(
    addresses.map((address) => ({ address, port })),
    parts,
  );
}

async function resolve(host: string): Promise<string[]> {
  const found = (await lookup(host, { all: true })).map(({ address }) => address);
  return interleave([...new Set(found)]).slice(0, MOST_ATTEMPTS);
}

/**
 * One family and the other in turn, first the one that the resolver prefers: a family that leads nowhere costs one
 * delay.
 */
export function interleave(addresses: readonly string[]): string[] {
  const [first = ''] = addresses;
  const preferred = addresses.filter((address) => net.isIP(address) === net.isIP(first));
  const others = addresses.filter((address) => net.isIP(address) !== net.isIP(first));
  return preferred
    .flatMap((address, at) => [address, ...others.slice(at, at + 1)])
    .concat(others.slice(preferred.length));
}

/** A lookup cannot be ended; whoever waits for it can. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolved, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    work.then(resolved, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** No attempt is given up before one has succeeded: the first may be slow, and be the only one that leads anywhere. */
export function race(targets: readonly Target[], parts: ConnectParts): Promise<net.Socket> {
  const { clock, signal, open = openSocket } = parts;
  return new Promise((resolved, reject) => {
    const under = new Set<net.Socket>();
    const errors: unknown[] = [];
    const over = new AbortController();
    let next = 0;
    const end = (act: () => void): void => {
      if (over.signal.aborted) return;
      over.abort();
      signal.removeEventListener('abort', abort);
      act();
      for (const socket of under) socket.destroy();
    };
    const abort = (): void => end(() => reject(signal.reason));
    const win = (socket: net.Socket): void => {
      if (!under.delete(socket) || over.signal.aborted) return;
      end(() => resolved(socket));
    };
    const lose = (socket: net.Socket, error: unknown): void => {
      under.delete(socket);
      errors.push(error);
      startNext();
      if (under.size === 0 && next >= targets.length) end(() => reject(joinErrors(errors)));
    };
    const startNext = (): void => {
      const target = targets[next];
      if (target === undefined || over.signal.aborted) return;
      const mine = ++next;
      const socket = open(target);
      under.add(socket);
      socket.once('connect', () => win(socket));
      // Kept for what the socket may still say after it has lost.
      socket.on('error', (error) => under.has(socket) && lose(socket, error));
      void clock.sleep(ATTEMPT_DELAY_MS, over.signal).then(() => mine === next && startNext());
    };
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    else if (targets.length === 0) end(() => reject(joinErrors([])));
    else startNext();
  });
}

function openSocket({ address, port }: Target): net.Socket {
  return net.connect({ host: address, port });
}

const NO_ROUTE = new Set(['ENETUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT']);

/** An address family that this machine has no route for says nothing about the platform. */
function joinErrors(errors: readonly unknown[]): unknown {
  const isNoRoute = (error: unknown): boolean => NO_ROUTE.has(systemCode(error) ?? '');
  const sorted = [...errors].sort((a, b) => Number(isNoRoute(a)) - Number(isNoRoute(b)));
  return sorted.length === 1 ? sorted[0] : new AggregateError(sorted);
}

/** This machine, and what is on its link without an address of its own. */
export function isLocalAddress(address: string): boolean {
  const version = net.isIP(address);
  if (version === 0) return false;
  const local = new net.BlockList();
  for (const [network, bits] of [
    ['0.0.0.0', 8],
    ['127.0.0.0', 8],
    ['169.254.0.0', 16],
  ] as const) {
    local.addSubnet(network, bits, 'ipv4');
    local.addSubnet(`::ffff:${network}`, 96 + bits, 'ipv6');
  }
  local.addSubnet('::', 127, 'ipv6');
  local.addSubnet('fe80::', 10, 'ipv6');
  return local.check(address.replace(/%.*$/, ''), version === 4 ? 'ipv4' : 'ipv6');
}
