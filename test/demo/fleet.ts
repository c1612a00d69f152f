/** `make demo FLEET=1`: PostgreSQL, Swift, and what goes round between two platforms on them. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { objectsOption, startObjectStore } from '../helpers/object-store.ts';
import { startPostgres } from '../helpers/postgres.ts';

interface Backends {
  /** For `gwe platform serve`. */
  args: readonly string[];
  env: Readonly<Record<string, string>>;
  end(): Promise<void>;
}

/** Starts both, empty, and writes a token that all platforms take. */
export async function startBackends(tokenFile: string): Promise<Backends> {
  const [database, store] = await Promise.all([startPostgres(), startObjectStore()]);
  writeFileSync(tokenFile, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 });
  const bucket = await store.freshBucket();
  return {
    args: ['--database', database.freshUrl(), '--objects', objectsOption(bucket), '--token-file', tokenFile],
    env: { AWS_ACCESS_KEY_ID: bucket.keyId, AWS_SECRET_ACCESS_KEY: bucket.secretKey },
    async end() {
      await Promise.all([database.end(), store.end()]);
    },
  };
}

interface Balancer {
  url: string;
  end(): void;
}

/** Hands each connection to the next platform; one that does not listen is passed over. */
export async function startBalancer(urls: readonly string[]): Promise<Balancer> {
  const ports = urls.map((url) => Number(new URL(url).port));
  const open = new Set<net.Socket>();
  let turn = 0;
  const keep = (socket: net.Socket): void => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  };
  const server = net.createServer((client) => {
    keep(client);
    client.on('error', () => undefined);
    const tryNext = (left: number): void => {
      const platform = net.connect(ports[turn++ % ports.length] ?? 0, '127.0.0.1');
      keep(platform);
      let isConnected = false;
      platform.once('connect', () => {
        isConnected = true;
        client.pipe(platform).pipe(client);
        client.once('close', () => platform.destroy());
        platform.once('close', () => client.destroy());
      });
      platform.on('error', () => {
        if (!isConnected && left > 1) tryNext(left - 1);
        else client.destroy();
      });
    };
    tryNext(ports.length);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    end() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}
