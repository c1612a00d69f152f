/** A TCP server that answers in whatever broken way a test wants, on a free port of this machine. */
import * as net from 'node:net';
import * as tls from 'node:tls';

export interface RawRequest {
  /** First line and headers. */
  head: string;
  body: string;
  /** The n-th request to this server, from 0. */
  index: number;
}

export interface RawServer {
  port: number;
  url: string;
  requests: RawRequest[];
  /** That were ever made. */
  connections(): number;
  /** Bytes of all connections, below TLS. */
  rxBytes(): number;
  txBytes(): number;
  close(): Promise<void>;
}

/** `answer` gets each request once its headers and body are there, and does what it likes with the connection. */
export async function startRawServer(
  answer: (socket: net.Socket, request: RawRequest) => void,
  secure?: tls.TlsOptions,
): Promise<RawServer> {
  const requests: RawRequest[] = [];
  const sockets = new Set<net.Socket>();
  // One for all connections: tickets are only good with the context that gave them out.
  const secureContext = secure === undefined ? undefined : tls.createSecureContext(secure);
  const serve = (socket: net.Socket): void => {
    let text = '';
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      if (end === -1) return;
      const head = text.slice(0, end);
      const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? '0');
      if (text.length < end + 4 + length) return;
      const request = { head, body: text.slice(end + 4, end + 4 + length), index: requests.length };
      text = '';
      requests.push(request);
      answer(socket, request);
    });
  };
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    if (secureContext === undefined) serve(socket);
    else {
      const wrapped = new tls.TLSSocket(socket, { isServer: true, ...secure, secureContext });
      wrapped.on('error', () => undefined);
      serve(wrapped);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const sum = (of: (socket: net.Socket) => number): number =>
    [...sockets].reduce((total, socket) => total + of(socket), 0);
  return {
    port,
    url: `${secure === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    requests,
    connections: () => sockets.size,
    rxBytes: () => sum((socket) => socket.bytesRead),
    txBytes: () => sum((socket) => socket.bytesWritten),
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** A whole answer: status line, Content-Length, body. */
export function httpAnswer(
  status: string,
  body: string | Buffer = '',
  headers: readonly string[] = [],
): Buffer {
  const bytes = Buffer.from(body);
  const lines = [
    `HTTP/1.1 ${status}`,
    ...headers,
    `Content-Length: ${bytes.length}`,
    'Connection: close',
    '',
    '',
  ];
  return Buffer.concat([Buffer.from(lines.join('\r\n'), 'latin1'), bytes]);
}
