/** One request under way: which connection it has, what it costs, and what becomes of the connection afterwards. */
import type * as tls from 'node:tls';
import { selectProxy } from './transport-proxy.ts';
import type { StreamRequest, Traffic, TransportOptions, TransportSettings } from './transport-types.ts';
import { createWire, type Route, type TicketStore, type Wire } from './transport-wire.ts';

/** Of a download that takes hours, no more than this, or what comes in such a time, goes uncounted when the power fails. */
const WORTH_TELLING_BYTES = 1024 * 1024;
const TELL_EVERY_MS = 500;

export interface Context {
  settings: TransportSettings;
  options: TransportOptions;
  base: URL;
  secureContext: tls.SecureContext | undefined;
  tickets: TicketStore;
  open: Set<Pending>;
  /** The connection that waits for another request. */
  resting: Wire | undefined;
  isClosed: boolean;
}

export type Bytes = Pick<Traffic, 'rxBytes' | 'txBytes'>;

export interface Pending {
  /** `GET 'https://host/path'`, for errors. */
  what: string;
  wire: Wire;
  route: Route;
  /** Learnt on the way, for the count. */
  answer: { status?: number; isWhole: boolean };
  /** Tells the bytes since it was last called, once they are worth it. */
  count(): void;
  /** Sent on a connection that had waited for it and gave no answer. */
  isStale(): boolean;
  /** Ends the connection. Returns what has not been counted. */
  abandon(): Bytes;
  /** Counts the traffic, once, and ends the connection unless it is fit for another request. */
  finish(): void;
}

export class Cancelled extends Error {}

/** The connection for a request: the one that waits, if it may be used, or a new one. */
function takeWire(
  context: Context,
  { method }: StreamRequest,
  route: Route,
): [wire: Wire, isReused: boolean] {
  const { resting } = context;
  if (method === 'GET' && resting !== undefined) {
    context.resting = undefined;
    if (resting.reuse(route.idleMs)) return [resting, true];
    resting.fail(new Cancelled());
  }
  return [createWire(route), false];
}

/** The newest one waits: it is the least likely to be closed by the other side. */
function letGo(context: Context, wire: Wire, isWhole: boolean): void {
  if (!isWhole || !wire.isResting() || context.isClosed) {
    wire.fail(new Cancelled());
    return;
  }
  context.resting?.fail(new Cancelled());
  context.resting = wire;
}

export function createPending(context: Context, request: StreamRequest, what: string, spent: Bytes): Pending {
  const route: Route = {
    target: context.base,
    proxy: selectProxy(context.base, context.settings.env),
    secureContext: context.secureContext,
    tickets: context.tickets,
    setUpIdleMs: context.settings.timeoutMs,
    probeAfterMs: context.settings.probeAfterMs,
    idleMs: request.timeoutMs ?? context.settings.timeoutMs,
  };
  const [wire, isReused] = takeWire(context, request, route);
  const cancel = (): void => wire.fail(new Cancelled());
  request.signal?.addEventListener('abort', cancel);
  let isFinished = false;
  const heardBefore = wire.heardBytes();
  const told = { rxBytes: wire.rxBytes() - spent.rxBytes, txBytes: wire.txBytes() - spent.txBytes };
  const untold = (): Bytes => ({
    rxBytes: wire.rxBytes() - told.rxBytes,
    txBytes: wire.txBytes() - told.txBytes,
  });
  let toldAtMs = context.options.clock.monotonicMs();
  const tell = (isLast: boolean): void => {
    toldAtMs = context.options.clock.monotonicMs();
    const { localAddress } = wire;
    const { rxBytes, txBytes } = untold();
    context.options.onTraffic?.({
      purpose: request.purpose,
      rxBytes,
      txBytes,
      path: request.path,
      ...pending.answer,
      isLast,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    told.rxBytes += rxBytes;
    told.txBytes += txBytes;
  };
  const finishOnce = (act: () => void): void => {
    if (isFinished) return;
    isFinished = true;
    request.signal?.removeEventListener('abort', cancel);
    context.open.delete(pending);
    act();
  };
  const pending: Pending = {
    what,
    wire,
    route,
    answer: { isWhole: false },
    count() {
      if (context.options.clock.monotonicMs() - toldAtMs < TELL_EVERY_MS) return;
      if (untold().rxBytes >= WORTH_TELLING_BYTES) tell(false);
    },
    isStale: () =>
      isReused && wire.heardBytes() === heardBefore && !(wire.fault instanceof Cancelled) && !isFinished,
    abandon() {
      const bytes = untold();
      finishOnce(cancel);
      return bytes;
    },
    finish: () =>
      finishOnce(() => {
        tell(true);
        letGo(context, wire, pending.answer.isWhole);
      }),
  };
  return pending;
}
