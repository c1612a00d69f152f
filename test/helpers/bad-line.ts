/** A TCP relay in front of a platform that behaves like a bad line, and counts the content bytes that it brought. */
import * as net from 'node:net';
import { createHttpWatch } from './http-watch.ts';

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

interface Plan {
  bytes: number;
  how: Break;
  left: number;
  onBreak: () => void;
}

/** What all connections of one line share. */
interface Line {
  plan: Plan | undefined;
  rate: number;
  broken: number;
  contentBytes: number;
}

const TICK_MS = 50;

export async function startBadLine(platformUrl: string, host = '127.0.0.1'): Promise<BadLine> {
  const { hostname, port } = new URL(platformUrl);
  const sockets = new Set<net.Socket>();
  const line: Line = { plan: undefined, rate: Number.POSITIVE_INFINITY, broken: 0, contentBytes: 0 };
  const listener = net.createServer({ allowHalfOpen: true }, (device) => {
    const server = net.connect(Number(port), hostname);
    for (const socket of [device, server]) {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    }
    relay(line, device, server);
  });
  await new Promise<void>((resolve) => listener.listen(0, host, resolve));
  const address = listener.address();
  const own = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://${host}:${own}`,
    breakAfter(bytes, how, times, onBreak = () => undefined) {
      line.plan = { bytes, how, left: times, onBreak };
    },
    limitRate(bytesPerSecond) {
      line.rate = bytesPerSecond;
    },
    breaks: () => line.broken,
    contentBytes: () => line.contentBytes,
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => listener.close(() => resolve()));
    },
  };
}

function relay(line: Line, device: net.Socket, server: net.Socket): void {
  const watch = createHttpWatch();
  const queue: Buffer[] = [];
  let isEnded = false;
  let timer: NodeJS.Timeout | undefined;
  let passed = 0;

  const interrupt = (plan: Plan): void => {
    plan.left--;
    line.broken++;
    server.removeAllListeners('data').removeAllListeners('end').destroy();
    queue.length = 0;
    plan.onBreak();
    // What was written must arrive: a line that breaks takes nothing back.
    if (plan.how === 'close') device.end();
    if (plan.how === 'reset') setTimeout(() => device.resetAndDestroy(), 30);
  };
  const give = (bytes: Buffer): void => {
    for (const part of watch.answered(bytes)) {
      if (part.isFirst) passed = 0;
      if (!part.isContent) {
        device.write(part.bytes);
        continue;
      }
      const plan = line.plan !== undefined && line.plan.left > 0 ? line.plan : undefined;
      const room = plan === undefined ? part.bytes.length : Math.max(0, plan.bytes - passed);
      const body = part.bytes.subarray(0, room);
      passed += body.length;
      line.contentBytes += body.length;
      device.write(body);
      if (plan === undefined || passed < plan.bytes) continue;
      interrupt(plan);
      return;
    }
  };
  const pump = (): void => {
    timer = undefined;
    if (device.destroyed) return;
    const chunk = queue.shift();
    if (chunk === undefined) {
      if (isEnded) device.end();
      return;
    }
    const step = Math.min(chunk.length, Math.max(1, Math.round((line.rate * TICK_MS) / 1000)));
    if (step < chunk.length) queue.unshift(chunk.subarray(step));
    give(chunk.subarray(0, step));
    timer = setTimeout(pump, line.rate === Number.POSITIVE_INFINITY ? 0 : TICK_MS);
  };
  server.on('data', (chunk) => {
    queue.push(chunk);
    if (timer === undefined) pump();
  });
  server.on('end', () => {
    isEnded = true;
    if (timer === undefined) pump();
  });
  server.on('error', () => device.destroy());
  device.on('data', (chunk) => {
    watch.asked(chunk);
    server.write(chunk);
  });
  device.on('error', () => undefined);
  device.on('end', () => server.end());
  device.on('close', () => server.destroy());
}
