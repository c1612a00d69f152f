/** One request under way: which connection it has, what it costs, and what becomes of the connection afterwards. */
import type * as tls from 'node:tls';
import type { WireStage } from './transport-fault.ts';
import type { ForwardProxy } from './transport-proxy.ts';
import type { StreamRequest, Traffic, TransportOptions, TransportSettings } from './transport-types.ts';
import { createWire, type Route, type Wire } from './transport-wire.ts';

/**
 * In a download that takes hours, no more than this, or what comes in such a time, goes uncounted when the power
 * fails.
 */
const WORTH_TELLING_BYTES = 1024 * 1024;
const TELL_EVERY_MS = 500;
/** Before these are over the request has not been sent. */
const SET_UP: ReadonlySet<WireStage> = new Set(['connecting', 'proxy', 'tls']);

export interface Context {
  settings: TransportSettings;
  options: TransportOptions;
  base: URL;
  secureContext: tls.SecureContext | undefined;
  proxy: ForwardProxy | undefined;
  proxyContext: tls.SecureContext | undefined;
  ticket: Route['ticket'];
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
  /** Reports the bytes since it was last called, once they are worth it. */
  count(): void;
  /** Sent on a connection that had waited for it and gave no answer. */
  isStale(): boolean;
  /** Ends the connection. Returns what has not been counted. */
  abandon(): Bytes;
  /** Counts the traffic, once, and ends the connection unless it is fit for another request. */
  finish(): void;
}

export class Cancelled extends Error {
  /** A stream that is ended by it asks for this, and to put it together takes two milliseconds of each check-in. */
  override readonly stack = '';
}

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

interface ByteCounter {
  /** Bytes of the connection that have not been reported yet. */
  untold(): Bytes;
  tellWhenWorthIt(): void;
  tellLast(): void;
}

/** Counts what the request costs; `spent` is what a first try of it has cost, which is reported with this one. */
function countBytes(
  { options: { clock, onTraffic } }: Pick<Context, 'options'>,
  { purpose, path }: StreamRequest,
  { wire, answer }: Pick<Pending, 'wire' | 'answer'>,
  spent: Bytes,
): ByteCounter {
  const told = { rxBytes: wire.rxBytes() - spent.rxBytes, txBytes: wire.txBytes() - spent.txBytes };
  let toldAtMs = clock.monotonicMs();
  const untold = (): Bytes => ({
    rxBytes: wire.rxBytes() - told.rxBytes,
    txBytes: wire.txBytes() - told.txBytes,
  });
  const tell = (isLast: boolean): void => {
    toldAtMs = clock.monotonicMs();
    const { localAddress } = wire;
    const { rxBytes, txBytes } = untold();
    const from = localAddress === undefined ? {} : { localAddress };
    onTraffic?.({ purpose, rxBytes, txBytes, path, ...answer, isLast, ...from });
    told.rxBytes += rxBytes;
    told.txBytes += txBytes;
  };
  return {
    untold,
    tellWhenWorthIt() {
      if (clock.monotonicMs() - toldAtMs < TELL_EVERY_MS) return;
      if (untold().rxBytes >= WORTH_TELLING_BYTES) tell(false);
    },
    tellLast: () => tell(true),
  };
}

export function createPending(context: Context, request: StreamRequest, what: string, spent: Bytes): Pending {
  const route: Route = {
    target: context.base,
    proxy: context.proxy,
    proxyContext: context.proxyContext,
    secureContext: context.secureContext,
    ticket: context.ticket,
    setUpIdleMs: context.settings.timeoutMs,
    probeAfterMs: context.settings.probeAfterMs,
    refusesLocal: context.settings.refusesLocal,
    idleMs: request.timeoutMs ?? context.settings.timeoutMs,
    clock: context.options.clock,
  };
  const [wire, isReused] = takeWire(context, request, route);
  const cancel = (): void => wire.fail(new Cancelled());
  const cancelSetUp = (): void => {
    if (SET_UP.has(wire.stage)) cancel();
  };
  request.signal?.addEventListener('abort', cancel);
  request.setUpSignal?.addEventListener('abort', cancelSetUp);
  if (request.setUpSignal?.aborted === true) cancelSetUp();
  const heardBefore = wire.heardBytes();
  const answer: Pending['answer'] = { isWhole: false };
  const counter = countBytes(context, request, { wire, answer }, spent);
  let isFinished = false;
  const finishOnce = (act: () => void): void => {
    if (isFinished) return;
    isFinished = true;
    request.signal?.removeEventListener('abort', cancel);
    request.setUpSignal?.removeEventListener('abort', cancelSetUp);
    context.open.delete(pending);
    act();
  };
  const pending: Pending = {
    what,
    wire,
    route,
    answer,
    count: counter.tellWhenWorthIt,
    isStale: () =>
      isReused && wire.heardBytes() === heardBefore && !(wire.fault instanceof Cancelled) && !isFinished,
    abandon() {
      const bytes = counter.untold();
      finishOnce(cancel);
      return bytes;
    },
    finish: () =>
      finishOnce(() => {
        counter.tellLast();
        letGo(context, wire, answer.isWhole);
      }),
  };
  return pending;
}
