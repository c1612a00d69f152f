/** A TCP relay that counts the payload of each connection, TLS included, and can be as slow as a modem. */
import * as net from 'node:net';

export interface Counted {
  /** From the one who connected. */
  up: number;
  down: number;
  /** Of HTTP, where it can be read. */
  requests: number;
}

export interface CountingRelay {
  /** As the target's, at the relay's port. */
  url: string;
  port: number;
  /** Connections that have ended, in that order. */
  finished(): readonly Counted[];
  /** Payload of all connections so far. */
  total(): Counted;
  /** From now on; a fast one at first. */
  setLine(line: Line | undefined): void;
  close(): Promise<void>;
}

const REQUEST = /^(GET|POST|PUT|HEAD) \//;

export interface Line {
  /** Each way. */
  bitsPerSecond: number;
  roundTripMs: number;
}

export async function startCountingRelay(targetUrl: string): Promise<CountingRelay> {
  let line: Line | undefined;
  const target = new URL(targetUrl);
  const targetPort = Number(target.port === '' ? (target.protocol === 'https:' ? 443 : 80) : target.port);
  const finished: Counted[] = [];
  const open = new Set<Counted>();
  const sockets = new Set<net.Socket>();
  const clocks = { up: { freeAt: 0 }, down: { freeAt: 0 } };
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = net.connect({ port: targetPort, host: target.hostname, allowHalfOpen: true, noDelay: true });
    const counted: Counted = { up: 0, down: 0, requests: 0 };
    open.add(counted);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
        if (open.delete(counted)) finished.push(counted);
      });
    }
    carry(
      near,
      far,
      () => line,
      clocks.up,
      (chunk) => {
        counted.up += chunk.length;
        if (REQUEST.test(chunk.toString('latin1', 0, 16))) counted.requests++;
      },
    );
    carry(
      far,
      near,
      () => line,
      clocks.down,
      (chunk) => {
        counted.down += chunk.length;
      },
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `${target.protocol}//127.0.0.1:${port}`,
    port,
    finished: () => finished,
    total: () => {
      const sum = { up: 0, down: 0, requests: 0 };
      for (const { up, down, requests } of [...finished, ...open]) {
        sum.up += up;
        sum.down += down;
        sum.requests += requests;
      }
      return sum;
    },
    setLine(next) {
      line = next;
    },
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** Connections share the line: what one sends waits until the line is free. Then half a round trip passes. */
function carry(
  from: net.Socket,
  to: net.Socket,
  lineNow: () => Line | undefined,
  clock: { freeAt: number },
  count: (chunk: Buffer) => void,
): void {
  const schedule = (bytes: number, act: () => void): void => {
    const line = lineNow();
    if (line === undefined) {
      act();
      return;
    }
    clock.freeAt = Math.max(clock.freeAt, performance.now()) + (bytes * 8000) / line.bitsPerSecond;
    const sentAt = clock.freeAt;
    setTimeout(() => from.resume(), Math.max(0, sentAt - performance.now()));
    setTimeout(act, Math.max(0, sentAt + line.roundTripMs / 2 - performance.now()));
  };
  from.on('data', (chunk: Buffer) => {
    count(chunk);
    if (lineNow() !== undefined) from.pause();
    schedule(chunk.length, () => void to.write(chunk));
  });
  from.on('end', () => schedule(0, () => void to.end()));
}
