/**
 * The PROXY protocol, versions 1 and 2: what a proxy says about the client before the client's own bytes (HAProxy's
 * proxy-protocol.txt §2).
 */
import { isIP, type Socket } from 'node:net';

/** The longest header of version 1, including its line end (§2.1); a header of version 2 states its own length. */
const MOST_TEXT_BYTES = 107;
const MOST_BINARY_BYTES = 16 + 536;
const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const TEXT_START = Buffer.from('PROXY ');

type ProxyHeader =
  /** No header: the bytes are the client's own. */
  | { kind: 'absent' }
  | { kind: 'incomplete' }
  | { kind: 'broken' }
  /** Without an address where the proxy speaks for itself. */
  | { kind: 'found'; sizeBytes: number; address: string | undefined };

/** What the first bytes of a connection are. */
function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsLike(bytes, SIGNATURE)) return parseBinary(bytes);
  if (startsLike(bytes, TEXT_START)) return parseText(bytes);
  return { kind: 'absent' };
}

/** Whether the bytes begin like this, as far as they have arrived. */
function startsLike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.subarray(0, length).equals(start.subarray(0, length));
}

function parseText(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, MOST_TEXT_BYTES).indexOf('\r\n');
  if (end === -1) return { kind: bytes.length < MOST_TEXT_BYTES ? 'incomplete' : 'broken' };
  const sizeBytes = end + 2;
  const [, family, source = ''] = bytes.toString('latin1', 0, end).split(' ');
  if (family === 'UNKNOWN') return { kind: 'found', sizeBytes, address: undefined };
  const version = family === 'TCP4' ? 4 : family === 'TCP6' ? 6 : -1;
  return isIP(source) === version ? { kind: 'found', sizeBytes, address: source } : { kind: 'broken' };
}

function parseBinary(bytes: Buffer): ProxyHeader {
  if (bytes.length < 16) return { kind: 'incomplete' };
  const [command = 0, family = 0] = bytes.subarray(12, 14);
  const sizeBytes = 16 + bytes.readUInt16BE(14);
  if (command >> 4 !== 2 || (command & 15) > 1 || sizeBytes > MOST_BINARY_BYTES) return { kind: 'broken' };
  if (bytes.length < sizeBytes) return { kind: 'incomplete' };
  // LOCAL: the proxy itself connects, to check whether the platform answers.
  if ((command & 15) === 0) return { kind: 'found', sizeBytes, address: undefined };
  const source = bytes.subarray(16, sizeBytes);
  if (family >> 4 === 1 && source.length >= 12)
    return { kind: 'found', sizeBytes, address: [...source.subarray(0, 4)].join('.') };
  if (family >> 4 === 2 && source.length >= 36) return { kind: 'found', sizeBytes, address: ipv6(source) };
  return { kind: 'found', sizeBytes, address: undefined };
}

function ipv6(bytes: Buffer): string {
  return Array.from({ length: 8 }, (_, group) => bytes.readUInt16BE(2 * group).toString(16)).join(':');
}

/**
 * Reads the header of a connection from a proxy, if it sends one, and hands the connection on as if it began after
 * it. A connection whose header is broken, or does not arrive in time, is ended.
 */
export function readProxyHeader(
  socket: Socket,
  timeoutMs: number,
  handOn: (address: string | undefined) => void,
): void {
  let bytes = Buffer.alloc(0);
  const end = (): void => {
    socket.destroy();
  };
  const read = (): void => {
    const chunk: unknown = socket.read();
    if (chunk instanceof Buffer) bytes = Buffer.concat([bytes, chunk]);
    const header = bytes.length === 0 ? ({ kind: 'incomplete' } as const) : parseProxyHeader(bytes);
    if (header.kind === 'incomplete') return;
    socket.off('readable', read);
    socket.off('timeout', end);
    socket.setTimeout(0);
    if (header.kind === 'broken') {
      end();
      return;
    }
    const rest = header.kind === 'found' ? bytes.subarray(header.sizeBytes) : bytes;
    if (rest.length > 0) socket.unshift(rest);
    handOn(header.kind === 'found' ? header.address : undefined);
  };
  socket.on('error', end);
  socket.on('readable', read);
  socket.on('timeout', end);
  socket.setTimeout(timeoutMs);
}
