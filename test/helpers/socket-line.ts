import { rmSync } from 'node:fs';
import * as net from 'node:net';

/** A relay between gwe and supervisord's socket, one connection for each call, that can fail one of them. */

/** `drop`: it does not get there. `lose`: it gets there, its answer does not. `hang`: nothing comes, ever. */
export type CallFault = 'drop' | 'lose' | 'hang';

export interface SocketLine {
  path: string;
  /** supervisord's own socket; set before the first call. */
  target: string;
  /** Fails the n-th call from now on, from 1, and restarts the count. */
  failAt(n: number, fault: CallFault): void;
  /** Calls since `failAt`. */
  calls(): number;
  close(): Promise<void>;
}

export async function startSocketLine(path: string): Promise<SocketLine> {
  const sockets = new Set<net.Socket>();
  let failing: { n: number; fault: CallFault } | undefined;
  let calls = 0;
  const line: SocketLine = {
    path,
    target: '',
    failAt(n, fault) {
      failing = { n, fault };
      calls = 0;
    },
    calls: () => calls,
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) =>
        server.close(() => {
          rmSync(path, { force: true });
          resolve();
        }),
      );
    },
  };
  const server = net.createServer((near) => {
    calls++;
    const fault = failing?.n === calls ? failing.fault : undefined;
    track(near);
    // Until the call itself has come: a connection that breaks before may be tried again, and proves nothing.
    near.once('data', (call) => {
      if (fault === 'drop') near.destroy();
      if (fault === 'drop' || fault === 'hang') return;
      const far = net.connect(line.target);
      track(far);
      far.write(call);
      near.pipe(far);
      if (fault === 'lose') far.once('data', () => near.destroy());
      else far.pipe(near);
      far.on('close', () => near.end());
      near.on('close', () => far.destroy());
    });
  });
  const track = (socket: net.Socket): void => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  };
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return line;
}
