/** Where a webhook may go: checks the address that the connection is made to, not one that the name had earlier. */
import { lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { GweError } from '../../base/errors.ts';

/**
 * Addresses of this machine and of its own link: the platform sends no request to services that only they may reach.
 */
export function isLocalAddress(address: string): boolean {
  const local = new BlockList();
  for (const [net, bits] of [
    ['0.0.0.0', 8],
    ['127.0.0.0', 8],
    ['169.254.0.0', 16],
    ['224.0.0.0', 4],
    ['255.255.255.255', 32],
  ] as const)
    local.addSubnet(net, bits, 'ipv4');
  for (const [net, bits] of [
    ['::', 127],
    ['fe80::', 10],
    ['ff00::', 8],
  ] as const)
    local.addSubnet(net, bits, 'ipv6');
  const plain = address.replace(/^\[|\]$/g, '').replace(/%.*$/, '');
  // An IPv4 address inside an IPv6 address is checked as the IPv4 address that it is.
  if (isIP(plain) === 4) return local.check(plain, 'ipv4');
  return isIP(plain) === 6 && (local.check(plain, 'ipv6') || isMapped(plain));
}

/**
 * `::ffff:a.b.c.d` in any spelling, and the addresses that NAT64 translates: none of them is needed, and any may hide
 * another.
 */
function isMapped(address: string): boolean {
  const mapped = new BlockList();
  mapped.addSubnet('::ffff:0:0', 96, 'ipv6');
  mapped.addSubnet('::', 96, 'ipv6');
  mapped.addSubnet('64:ff9b::', 96, 'ipv6');
  return mapped.check(address, 'ipv6');
}

/** Throws PROTOCOL_REFUSED where the host is such an address itself, and so is never looked up. */
export function refuseLocalHost(hostname: string): void {
  if (isLocalAddress(hostname)) throw refused(hostname);
}

function refused(address: string): GweError {
  return new GweError(
    'PROTOCOL_REFUSED',
    `cannot send to '${address}': it is this machine or its link, expected another; --allow-local-webhooks allows it`,
  );
}

/** Looks a name up for a connection, and refuses it where any of its addresses is local. */
export const lookupOutside: LookupFunction = (hostname, options, done) => {
  lookup(hostname, { ...options, all: true }, (error, found) => {
    const addresses = error === null ? found : [];
    const local = addresses.find(({ address }) => isLocalAddress(address));
    const [first] = addresses;
    if (error !== null) done(error, '', 4);
    else if (local !== undefined) done(refused(local.address), '', 4);
    else if (options.all === true) done(null, addresses);
    else done(null, first?.address ?? '', first?.family ?? 4);
  });
};
