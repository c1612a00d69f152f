/** From a connection to a proxy to one through it: CONNECT (RFC 9110 §9.3.6) or SOCKS5 (RFC 1928), over TLS where the proxy wants it. */
import * as net from 'node:net';
import type { ForwardProxy } from '../transport-proxy.ts';

/** A proxy that says more than this before its empty line is not one. */
const MAX_PROXY_ANSWER_BYTES = 16 * 1024;
/** The wire has an idle time of its own, which comes first. */
const SOCKS_TIMEOUT_MS = 24 * 3600 * 1000;

/** The proxy answered, but not with a connection. */
export class ProxyRefusal extends Error {}

/** Resolves when all that goes over `socket`, which leads to `proxy`, goes to host and port; reads not a byte beyond the proxy's answer. */
export async function openTunnel(
  socket: net.Socket,
  proxy: ForwardProxy,
  { host, port }: { host: string; port: number },
): Promise<void> {
  if (proxy.kind === 'socks5') await openSocks(socket, proxy, { host, port });
  else await openConnect(socket, proxy, `${net.isIPv6(host) ? `[${host}]` : host}:${port}`);
}

async function openConnect(socket: net.Socket, proxy: ForwardProxy, authority: string): Promise<void> {
  const credentials =
    proxy.authorization === undefined ? '' : `Proxy-Authorization: ${proxy.authorization}\r\n`;
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${credentials}\r\n`);
  for (;;) {
    const head = await readHead(socket);
    const status = /^HTTP\/1\.[01] (\d{3})(?: ([^\r\n]*))?/.exec(head);
    if (status === null) throw new ProxyRefusal('the proxy answered something that is not HTTP');
    if (status[1]?.startsWith('2') === true) return;
    if (status[1]?.startsWith('1') === true) continue;
    throw refusal(status[1] ?? '', status[2] ?? '', head);
  }
}

function refusal(status: string, reason: string, head: string): ProxyRefusal {
  if (status === '407') {
    const schemes = [...head.matchAll(/^proxy-authenticate: *([a-z]{1,20})/gim)].map(([, name]) => name);
    const asked = schemes.length === 0 ? '' : `; it takes ${schemes.slice(0, 5).join(', ')}, gwe knows Basic`;
    return new ProxyRefusal(`the proxy wants other credentials (status 407)${asked}`);
  }
  const shown = reason.replace(/[^\x20-\x7e]/g, '').slice(0, 80);
  return new ProxyRefusal(`the proxy refused to connect (status ${status} ${shown})`.replace(' )', ')'));
}

/** The name goes to the proxy as it is: behind one there is often no DNS. */
async function openSocks(
  socket: net.Socket,
  { host, port, credentials }: ForwardProxy,
  destination: { host: string; port: number },
): Promise<void> {
  const account =
    credentials === undefined ? {} : { userId: credentials.username, password: credentials.password };
  // Few gateways are behind such a proxy, and a check-in is short.
  const { SocksClient } = await import('socks');
  try {
    await SocksClient.createConnection({
      command: 'connect',
      proxy: { host, port, type: 5, ...account },
      destination,
      existing_socket: socket,
      timeout: SOCKS_TIMEOUT_MS,
    });
  } catch (error) {
    // Its errors carry the options, and with them the password.
    const words = error instanceof Error ? error.message.replace(/[^\x20-\x7e]/g, '').slice(0, 120) : '';
    throw new ProxyRefusal(`the SOCKS proxy gives no connection (${words})`);
  }
}

/** What stands before the empty line; lines may end in LF alone (RFC 9112 §2.2). */
function readHead(socket: net.Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0);
    const finish = (act: () => void): void => {
      socket.off('readable', take);
      socket.off('error', fail);
      socket.off('close', close);
      act();
    };
    const take = (): void => {
      for (let chunk: unknown = socket.read(); Buffer.isBuffer(chunk); chunk = socket.read()) {
        bytes = Buffer.concat([bytes, chunk]);
        const head = /^[\s\S]*?\r?\n\r?\n/.exec(bytes.toString('latin1'))?.[0];
        if (head !== undefined) {
          const rest = bytes.subarray(head.length);
          if (rest.length > 0) socket.unshift(rest);
          finish(() => resolve(head));
          return;
        }
        if (bytes.length > MAX_PROXY_ANSWER_BYTES) {
          finish(() => reject(new ProxyRefusal('the proxy answered something that is not HTTP')));
          return;
        }
      }
    };
    const fail = (error: Error): void => finish(() => reject(error));
    const close = (): void => fail(Object.assign(new Error('closed'), { code: 'ECONNRESET' }));
    socket.on('readable', take);
    socket.once('error', fail);
    socket.once('close', close);
    // What came behind an interim answer is there already.
    take();
  });
}
