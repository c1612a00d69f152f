/** A TCP relay in front of a platform that behaves like a bad line, and counts the content bytes that it brought. */
import * as net from 'node:net';

export type Break = 'close' | 'reset' | 'stall';

export interface BadLine {
  url: string;
  /** Breaks a content answer after so many bytes of it, as often as `times`; each break calls `onBreak`. */
  breakAfter(bytes: number, how: Break, times: number, onBreak?: () => void): void;
  /** Of all answers, bytes per second. */
  limitRate(bytesPerSecond: number): void;
  breaks(): number;
  /** Bytes of content bodies handed to the device's socket. */
  contentBytes(): number;
  close(): Promise<void>;
}

export async function startBadLine(platformUrl: string, host = '127.0.0.1'): Promise<BadLine> {
  const { hostname, port } = new URL(platformUrl);
  const sockets = new Set<net.Socket>();
  let plan: { bytes: number; how: Break; left: number; onBreak: () => void } | undefined;
  let rate = Number.POSITIVE_INFINITY;
  let broken = 0;
  let contentBytes = 0;

  const serve = (device: net.Socket): void => {
    const server = net.connect(Number(port), hostname);
    sockets.add(device).add(server);
    let asked = '';
    let isContent = false;
    let head: string | undefined = '';
    let passed = 0;
    device.on('data', (chunk) => {
      asked = (asked + chunk.toString('latin1')).slice(-4096);
      isContent = /\/provision\/download\?[^ ]*/.test(asked) && !/info=true/.test(asked);
      server.write(chunk);
    });
    const give = (chunk: Buffer): boolean => {
      if (!isContent) return device.write(chunk);
      let start = 0;
      if (head !== undefined) {
        const before: number = head.length;
        head += chunk.toString('latin1');
        const end: number = head.indexOf('\r\n\r\n');
        if (end === -1) return device.write(chunk);
        start = end + 4 - before;
        head = undefined;
      }
      const room = plan !== undefined && plan.left > 0 ? Math.max(0, plan.bytes - passed) : chunk.length;
      const body = chunk.subarray(start, start + room);
      passed += body.length;
      contentBytes += body.length;
      const isKept = device.write(chunk.subarray(0, start + body.length));
      if (plan !== undefined && plan.left > 0 && passed >= plan.bytes) interrupt(plan);
      return isKept;
    };
    const interrupt = (now: NonNullable<typeof plan>): void => {
      now.left--;
      broken++;
      server.removeAllListeners('data').removeAllListeners('end').destroy();
      queue.length = 0;
      now.onBreak();
      // What was written must arrive: a line that breaks takes nothing back.
      if (now.how === 'close') device.end();
      if (now.how === 'reset') setTimeout(() => device.resetAndDestroy(), 30);
    };
    const queue: Buffer[] = [];
    let isEnded = false;
    const pump = (): void => {
      if (device.destroyed) return;
      const chunk = queue.shift();
      if (chunk === undefined) {
        if (isEnded) device.end();
        timer = undefined;
        return;
      }
      const step = Math.min(chunk.length, Math.max(1, Math.round(rate / 20)));
      give(chunk.subarray(0, step));
      if (step < chunk.length) queue.unshift(chunk.subarray(step));
      timer = setTimeout(pump, rate === Number.POSITIVE_INFINITY ? 0 : 50);
    };
    let timer: NodeJS.Timeout | undefined;
    server.on('data', (chunk) => {
      queue.push(chunk);
      if (timer === undefined) pump();
    });
    server.on('end', () => {
      isEnded = true;
      if (timer === undefined) pump();
    });
    for (const [one, other] of [
      [device, server],
      [server, device],
    ] as const) {
      one.on('error', () => (one === device ? other.destroy() : undefined));
      one.on('close', () => sockets.delete(one));
    }
    device.on('end', () => server.end());
    device.on('close', () => server.destroy());
  };
  const listener = net.createServer({ allowHalfOpen: true }, serve);
  await new Promise<void>((resolve) => listener.listen(0, host, resolve));
  const address = listener.address();
  const own = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://${host}:${own}`,
    breakAfter(bytes, how, times, onBreak = () => undefined) {
      plan = { bytes, how, left: times, onBreak };
    },
    limitRate(bytesPerSecond) {
      rate = bytesPerSecond;
    },
    breaks: () => broken,
    contentBytes: () => contentBytes,
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => listener.close(() => resolve()));
    },
  };
}
