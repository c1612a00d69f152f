/** The client that a request came from: the other end of its connection, or what a trusted proxy says. */
import type { IncomingMessage } from 'node:http';
import { BlockList, isIP, type Socket } from 'node:net';
import { GweError } from '../../base/errors.ts';

export interface ClientAddresses {
  /** The client's address in the form of `addressKey`, which fits into a field of CSV. */
  of(request: IncomingMessage): string;
  /** Notes what the proxy on this connection has said in the PROXY protocol: the client that it speaks for. */
  remember(connection: Peer, address: string): void;
  /** The client for which a connection is counted. */
  holderOf(connection: Peer): string;
  /** Whether this is the address of a proxy that speaks for others. */
  isProxy(address: string | undefined): boolean;
}

/** A connection, identified by its other end: TLS wraps the socket, and both have the same one. */
type Peer = Pick<Socket, 'remoteAddress' | 'remotePort' | 'once'>;

/** How many entries of X-Forwarded-For are looked at: a client may send any number. */
const MOST_HOPS = 20;

/** `proxies` are addresses or CIDR ranges. Throws USAGE_BAD_VALUE for anything else. */
export function createClientAddresses(proxies: readonly string[]): ClientAddresses {
  const trusted = new BlockList();
  for (const proxy of proxies) addRange(trusted, proxy);
  const isProxy = (address: string | undefined): boolean => {
    const plain = plainAddress(address ?? '');
    const version = isIP(plain);
    return version !== 0 && trusted.check(plain, version === 4 ? 'ipv4' : 'ipv6');
  };
  const told = new Map<string, string>();
  const endOf = ({ remoteAddress, remotePort }: Peer): string => `${remoteAddress} ${remotePort}`;
  const peerOf = (connection: Peer): string => told.get(endOf(connection)) ?? connection.remoteAddress ?? '';
  return {
    isProxy,
    remember(connection, address) {
      const end = endOf(connection);
      told.set(end, address);
      connection.once('close', () => told.delete(end));
    },
    holderOf: (connection) => addressKey(peerOf(connection)),
    of(request) {
      const peer = peerOf(request.socket);
      if (!isProxy(peer)) return addressKey(peer);
      // Each proxy appends the address that called it: the last one that is not a proxy of ours is the client.
      const hops = String(request.headers['x-forwarded-for'] ?? '')
        .split(',')
        .map((hop) => plainAddress(hop.trim()));
      const client = hops
        .slice(-MOST_HOPS)
        .reverse()
        .find((hop) => !isProxy(hop));
      return addressKey(client !== undefined && isIP(client) !== 0 ? client : peer);
    },
  };
}

function addRange(trusted: BlockList, text: string): void {
  const [address = '', bits] = text.trim().split('/');
  const version = isIP(address);
  const most = version === 4 ? 32 : 128;
  const length = bits === undefined ? most : Number(bits);
  if (version === 0 || !/^\d{0,3}$/.test(bits ?? '') || bits === '' || length > most)
    throw new GweError(
      'USAGE_BAD_VALUE',
      `cannot trust proxy '${text}': expected an address or a range, such as 10.0.0.0/8`,
    );
  trusted.addSubnet(address, length, version === 4 ? 'ipv4' : 'ipv6');
}

/** A socket for both versions shows an IPv4 address as an IPv6 one; this gives the IPv4 address. */
function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
}

/** Whoever has one IPv6 address has 2^64 of them, so only the first half of the address counts. */
export function addressKey(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address;
  const [front = '', back] = address.replace(/%.*$/, '').split('::');
  const groups = front === '' ? [] : front.split(':');
  const behind = back === undefined || back === '' ? 0 : back.split(':').length;
  const zeros = back === undefined ? 0 : 8 - groups.length - behind;
  return [...groups, ...Array<string>(zeros).fill('0'), ...(back ?? '').split(':')].slice(0, 4).join(':');
}
