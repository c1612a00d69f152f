/** A TCP proxy that looks into nothing: when each connection came, and how many bytes of payload went each way. */
import * as net from 'node:net';

export interface ProxiedConnection {
  /** performance.now() */
  atMs: number;
  /** From the client. */
  upBytes: number;
  downBytes: number;
  isOpen: boolean;
}

export interface ByteProxy {
  /** The far URL with this proxy's port. */
  url: string;
  connections: ProxiedConnection[];
  close(): Promise<void>;
}

export async function startByteProxy(farUrl: string): Promise<ByteProxy> {
  const far = new URL(farUrl);
  const farPort = Number(far.port);
  const connections: ProxiedConnection[] = [];
  const sockets = new Set<net.Socket>();
  const server = net.createServer((near) => {
    const seen = { atMs: performance.now(), upBytes: 0, downBytes: 0, isOpen: true };
    connections.push(seen);
    const onward = net.connect(farPort, far.hostname);
    for (const socket of [near, onward]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        seen.isOpen = false;
        near.destroy();
        onward.destroy();
      });
    }
    near.on('data', (bytes) => {
      seen.upBytes += bytes.length;
    });
    onward.on('data', (bytes) => {
      seen.downBytes += bytes.length;
    });
    near.pipe(onward).pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  far.port = String(typeof address === 'object' && address !== null ? address.port : 0);
  return {
    url: far.origin,
    connections,
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
