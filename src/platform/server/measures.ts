/**
 * What the platform counts about itself: the metrics behind `/metrics` (src/platform/README.md, "Health and
 * numbers").
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Clock } from '../../base/clock.ts';
import { VERSION } from '../../base/version.ts';
import { createMetrics, type Histogram, type Metrics, type Sample } from '../metrics.ts';
import type { Figures, Storage } from '../storage/storage.ts';
import type { RouteName } from './route-name.ts';

/** The connections of one listener. */
interface ListenerCount {
  name: string;
  limit: number;
  open(): number;
}

export interface Measures {
  /** One request was answered. */
  answered(route: RouteName, status: number, seconds: number): void;
  /** A connection or request was refused. */
  refused(reason: string): void;
  /** A TLS handshake is done. */
  handshaken(isResumed: boolean): void;
  committed(writes: number): void;
  watchListener(listener: ListenerCount): void;
  watchLongPolls(waiting: () => number): void;
  /** The same storage, with the time of each call measured. */
  measured(storage: Storage): Storage;
  /** All metrics as text; stored data is counted for it if the last count is old. */
  render(): Promise<string>;
  close(): void;
}

const REQUEST_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2, 10, 60, 300];
const STORAGE_SECONDS = [0.0005, 0.002, 0.005, 0.02, 0.1, 1, 10];
const BATCH_SIZES = [1, 2, 4, 8, 16, 32, 64, 128];
const CHECK_INS: readonly RouteName[] = ['read', 'write', 'long-poll'];
/** Stored data is counted at most once in this time, and counting takes at most this share of the time. */
const [FIGURES_MS, FIGURES_PART] = [60_000, 0.01];

export function createMeasures(clock: Clock): Measures {
  const metrics = createMetrics();
  const requests = metrics.counter('gwe_requests_total', 'Requests answered, by kind and status.');
  const seconds = metrics.histogram(
    'gwe_request_seconds',
    'From the headers of a request to the end of its answer.',
    REQUEST_SECONDS,
  );
  const checkIns = metrics.counter('gwe_checkins_total', 'Reads and writes of devices that were answered.');
  const refusals = metrics.counter('gwe_refused_total', 'Requests refused, and connections hung up on.');
  const handshakes = metrics.counter(
    'gwe_tls_handshakes_total',
    'TLS handshakes, the resumed ones included.',
  );
  const resumed = metrics.counter(
    'gwe_tls_resumed_total',
    'TLS handshakes by a ticket of an earlier session.',
  );
  const storing = metrics.histogram('gwe_storage_seconds', 'Calls of the storage.', STORAGE_SECONDS);
  const batches = metrics.histogram(
    'gwe_commit_batch_size',
    'Writes that shared one commit (SQLite).',
    BATCH_SIZES,
  );
  const delay = watchProcess(metrics);
  const listeners: ListenerCount[] = [];
  metrics.gauge('gwe_connections', 'Open connections of a listener.', () =>
    listeners.map(({ name, limit, open }) => ({
      labels: { listener: name, limit: String(limit) },
      value: open(),
    })),
  );
  const figures = createFigures(metrics, clock);
  let storage: Pick<Storage, 'figures'> | undefined;
  return {
    answered(route, status, took) {
      requests.add({ route, status: String(status) });
      seconds.observe(took, { route });
      if (CHECK_INS.includes(route) && status < 400) checkIns.add();
    },
    refused: (reason) => refusals.add({ reason }),
    handshaken(isResumed) {
      handshakes.add();
      if (isResumed) resumed.add();
    },
    committed: (writes) => batches.observe(writes),
    watchListener: (listener) => listeners.push(listener),
    watchLongPolls: (waiting) =>
      metrics.gauge('gwe_long_polls', 'Long polls that wait.', () => [{ value: waiting() }]),
    measured(given) {
      storage = given;
      return measureStorage(given, storing, clock);
    },
    async render() {
      if (storage !== undefined) await figures.refresh(storage);
      const text = metrics.render();
      delay.reset();
      return text;
    },
    close: () => delay.disable(),
  };
}

/** The runtime and the process. The delay is measured since the last look. */
function watchProcess(metrics: Metrics): { reset(): void; disable(): void } {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  const one = (value: number): Sample[] => [{ value }];
  metrics.gauge('gwe_build_info', 'Version of gwe and of its runtime.', () => [
    { labels: { version: VERSION, node: process.versions.node }, value: 1 },
  ]);
  metrics.gauge('gwe_eventloop_lag_seconds', 'How late the event loop was since the last look.', () =>
    [50, 99, 100].map((part) => ({
      labels: { quantile: String(part / 100) },
      value: delay.count === 0 ? 0 : Math.max(0, delay.percentile(part) / 1e9 - 0.01),
    })),
  );
  metrics.gauge('process_resident_memory_bytes', 'Memory of this process.', () =>
    one(process.memoryUsage.rss()),
  );
  metrics.counted('process_cpu_seconds_total', 'Time of the CPU that this process took.', () => {
    const { user, system } = process.cpuUsage();
    return one((user + system) / 1e6);
  });
  return delay;
}

/** Gauges of stored data: counted at most once a minute, and less often where counting takes long. */
function createFigures(
  metrics: Metrics,
  clock: Clock,
): { refresh(storage: Pick<Storage, 'figures'>): Promise<void> } {
  let found: Figures | undefined;
  let counting: Promise<void> | undefined;
  let staleAtMs = 0;
  const add = (name: string, help: string, read: (figures: Figures) => readonly Sample[]): void =>
    metrics.gauge(name, help, () => (found === undefined ? [] : read(found)));
  add('gwe_devices', 'Serial numbers, by product and state.', ({ devices }) =>
    devices.map(({ product, state, count }) => ({ labels: { product, state }, value: count })),
  );
  add('gwe_devices_late', 'Gateways not heard of for two of their intervals.', ({ fleet }) =>
    fleet === undefined ? [] : [{ value: fleet.lateDevices }],
  );
  add('gwe_app_devices', 'Gateways by the version of an app, the 50 most frequent.', ({ fleet }) =>
    (fleet?.apps ?? []).map(({ app, version, count }) => ({ labels: { app, version }, value: count })),
  );
  add('gwe_rollout_members', 'Gateways in a rollout that goes on, by their state in it.', ({ fleet }) =>
    (fleet?.members ?? []).map(({ rollout, state, count }) => ({ labels: { rollout, state }, value: count })),
  );
  metrics.counted('gwe_rollout_stopped_total', 'Rollouts that the rule has stopped.', () =>
    found?.fleet === undefined ? [] : [{ value: found.fleet.stopped }],
  );
  add('gwe_objects_bytes', 'Size of all content.', ({ contentBytes }) => [{ value: contentBytes }]);
  const count = async (storage: Pick<Storage, 'figures'>): Promise<void> => {
    const startedMs = clock.monotonicMs();
    try {
      found = await storage.figures();
    } catch {
      // The earlier count says nothing about now.
      found = undefined;
    }
    const now = clock.monotonicMs();
    staleAtMs = now + Math.max(FIGURES_MS, (now - startedMs) / FIGURES_PART);
    counting = undefined;
  };
  return {
    async refresh(storage) {
      if (clock.monotonicMs() < staleAtMs) return;
      counting ??= count(storage);
      await counting;
    },
  };
}

/** The same storage; the time until each answer is measured. */
function measureStorage(storage: Storage, seconds: Histogram, clock: Clock): Storage {
  const timed = Object.entries(storage).map(([op, call]: [string, unknown]): [string, unknown] => {
    if (typeof call !== 'function') return [op, call];
    const labels = { op };
    const run = (...given: unknown[]): unknown => {
      const startedMs = clock.monotonicMs();
      const result: unknown = Reflect.apply(call, storage, given);
      if (!(result instanceof Promise)) return result;
      const end = (): void => seconds.observe((clock.monotonicMs() - startedMs) / 1000, labels);
      result.then(end, end);
      return result;
    };
    return [op, run];
  });
  return Object.fromEntries(timed) as unknown as Storage;
}
