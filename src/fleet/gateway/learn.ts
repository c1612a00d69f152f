/**
 * What the platform learns from the values that a gateway writes, in the order in which they arrive. Never throws:
 * what cannot be read is noted for the gateway that wrote it, and affects nothing else.
 */
import { decodeDeviceInfo, decodeUsageReport } from './device-info.ts';
import { decodeEngineReport, mergeApps } from './engine-report.ts';
import { decodeFetchStatus, type StatusReport } from './fetch-status.ts';
import type { AppRecord, Saved, SeenReleases, Traffic } from './record.ts';
import { NO_TRACES, type SharingTraces, traceSharing } from './sharing.ts';

export interface Knowledge {
  readonly gweVersion?: string | undefined;
  readonly target?: string | undefined;
  /** Seconds, as the gateway reported, or as it last took over from the platform. */
  readonly intervalS?: number | undefined;
  readonly freeBytes?: number | undefined;
  readonly budgetLeftBytes?: number | undefined;
  /** `APP VERSION` that waits for data budget. */
  readonly waiting?: string | undefined;
  readonly traffic?: Traffic | undefined;
  readonly saved?: Saved | undefined;
  readonly releases?: SeenReleases | undefined;
  readonly apps: ReadonlyMap<string, AppRecord>;
  readonly traces: SharingTraces;
  /** Which report could not be read, and when. */
  readonly unreadable?: { readonly alias: string; readonly at: number } | undefined;
}

export interface Written {
  readonly alias: string;
  readonly value: string;
  /** What the alias showed before. */
  readonly before: string;
  /** Unix seconds. */
  readonly at: number;
  /** The number of the value, which grows with every write of this gateway. */
  readonly sequence: number;
  /** The address of the connection. */
  readonly address?: string | undefined;
}

export interface FleetEvent {
  /** Unique for each event of a gateway: the same key again is the same event. */
  readonly key: string;
  readonly at: number;
  readonly kind: 'update' | 'taken' | 'looping' | 'rebooted' | 'shared' | 'unreadable';
  readonly app?: string | undefined;
  readonly version?: string | undefined;
  readonly status?: StatusReport | undefined;
  /** One line. */
  readonly text: string;
}

export interface Learnt {
  readonly knowledge: Knowledge;
  readonly events: readonly FleetEvent[];
  /** The id of the command that the gateway has taken. */
  readonly taken?: string | undefined;
  readonly status?: StatusReport | undefined;
  /** There is a new report of its apps. */
  readonly hasApps?: boolean | undefined;
}

export const NOTHING_KNOWN: Knowledge = { apps: new Map(), traces: NO_TRACES };

type Learn = (knowledge: Knowledge, written: Written) => Learnt;

const ALIASES: Readonly<Record<string, Learn>> = {
  engine_fetch: learnCommand,
  update_interval: learnInterval,
  fetch_status: learnStatus,
  engine_report: learnApps,
  device_info: learnDevice,
  usage_report: learnUsage,
};

/** What is known after the gateway itself has written one value. */
export function learn(knowledge: Knowledge, written: Written): Learnt {
  const of = Object.hasOwn(ALIASES, written.alias) ? ALIASES[written.alias] : undefined;
  return of === undefined ? { knowledge, events: [] } : of(knowledge, written);
}

function learnCommand(knowledge: Knowledge, { value, before, at, sequence }: Written): Learnt {
  if (value !== '' || before === '') return { knowledge, events: [] };
  const event = { key: `taken:${sequence}`, at, kind: 'taken', text: 'took the command over' } as const;
  return { knowledge, events: [event], taken: before };
}

function learnInterval(knowledge: Knowledge, { value, before }: Written): Learnt {
  const seconds = /^\s*\d{1,8}\s*$/.test(before) ? Number(before) : 0;
  const isTaken = value === '' && seconds > 0;
  return { knowledge: isTaken ? { ...knowledge, intervalS: seconds } : knowledge, events: [] };
}

function learnStatus(knowledge: Knowledge, written: Written): Learnt {
  const status = decodeFetchStatus(written.value);
  // Pieces of a log come under the same alias.
  if (status === undefined) return { knowledge, events: [] };
  const traces = traceSharing(knowledge.traces, { at: written.at, failureSequence: status.failureSequence });
  const next = { ...knowledge, traces };
  const shared = sharedEvents(knowledge, next, written);
  if (status.outcome === undefined) return { knowledge: next, events: shared, status };
  const { app, version, outcome, tx, code, reason } = status;
  const event: FleetEvent = {
    key: `update:${tx ?? `at-${written.sequence}`}:${outcome}`,
    at: written.at,
    kind: 'update',
    app,
    version,
    status,
    text: [outcome, code, reason].filter((part) => part !== undefined).join(': '),
  };
  const saved = addSaved(knowledge.saved, status, written.at);
  return { knowledge: { ...next, saved }, events: [event, ...shared], status };
}

/** As many as a gateway may send in one request, of which the answer is lost. */
const MOST_COUNTED = 8;

/** The whole tarball without the bytes that came for it, of an update for which any came. */
function addSaved(
  before: Saved | undefined,
  { tx, bytes = 0, bytesFull = 0 }: StatusReport,
  at: number,
): Saved | undefined {
  if (tx === undefined || bytes === 0 || bytesFull <= bytes || before?.counted.includes(tx)) return before;
  const month = new Date(at * 1000).toISOString().slice(0, 7);
  const sum = before?.month === month ? before.monthBytes : 0;
  const counted = [...(before?.counted ?? []), tx].slice(-MOST_COUNTED);
  return { month, monthBytes: sum + bytesFull - bytes, counted };
}

function learnApps(knowledge: Knowledge, written: Written): Learnt {
  const report = decodeEngineReport(written.value, written.at);
  if (report === undefined) return unreadable(knowledge, written);
  const apps = mergeApps(knowledge.apps, report);
  const events = [...apps].flatMap(([app, record]) => loopEvent(app, record, knowledge, written.at) ?? []);
  return { knowledge: { ...knowledge, apps }, events, hasApps: true };
}

/** From here on, each doubling makes an event. */
const FIRST_LOOP_RESTARTS = 4;

function loopEvent(
  app: string,
  { version, digest, restarts = 0 }: AppRecord,
  { apps }: Knowledge,
  at: number,
): FleetEvent | undefined {
  const before = apps.get(app);
  const doublings = Math.floor(Math.log2(Math.max(restarts, 1)));
  const wasThere = before?.version === version && Math.log2(Math.max(before.restarts ?? 0, 1)) >= doublings;
  if (restarts < FIRST_LOOP_RESTARTS || wasThere) return undefined;
  const key = `looping:${app}:${digest?.slice(0, 8) ?? version}:${doublings}`;
  return {
    key,
    at,
    kind: 'looping',
    app,
    version,
    text: `${app} ${version} was restarted ${restarts} times`,
  };
}

function learnDevice(knowledge: Knowledge, written: Written): Learnt {
  const info = decodeDeviceInfo(written.value);
  if (info === undefined) return unreadable(knowledge, written);
  const { bootId, uptimeS, intervalS = knowledge.intervalS, ...facts } = info;
  const { at, address } = written;
  const traces = traceSharing(knowledge.traces, { at, bootId, uptimeS, address });
  const next: Knowledge = { ...knowledge, ...facts, intervalS, traces };
  const last = knowledge.traces.boots.at(-1);
  const isOther = bootId !== undefined && last !== undefined && last !== bootId;
  const rebooted: FleetEvent[] = isOther
    ? [
        {
          key: `rebooted:${bootId}:${written.sequence}`,
          at,
          kind: 'rebooted',
          text: 'runs since another boot',
        },
      ]
    : [];
  return { knowledge: next, events: [...rebooted, ...sharedEvents(knowledge, next, written)] };
}

function learnUsage(knowledge: Knowledge, written: Written): Learnt {
  const usage = decodeUsageReport(written.value);
  return usage === undefined
    ? unreadable(knowledge, written)
    : { knowledge: { ...knowledge, ...usage }, events: [] };
}

/**
 * At most one event for each hour, so that a gateway that writes nonsense at each check-in does not fill the table.
 */
function unreadable(knowledge: Knowledge, { alias, value, at }: Written): Learnt {
  if (value === '') return { knowledge, events: [] };
  const text = `cannot read its ${alias}: found ${value.length} characters that are no such report`;
  const key = `unreadable:${alias}:${Math.floor(at / 3600)}`;
  return {
    knowledge: { ...knowledge, unreadable: { alias, at } },
    events: [{ key, at, kind: 'unreadable', text }],
  };
}

function sharedEvents(before: Knowledge, after: Knowledge, { at }: Written): FleetEvent[] {
  const { sign } = after.traces;
  if (sign === undefined || sign === before.traces.sign) return [];
  const key = `shared:${Math.floor(at / 86_400)}`;
  return [{ key, at, kind: 'shared', text: `two gateways use its key: ${sign.why}` }];
}

const DEFAULT_INTERVAL_S = 14_400;
/** The time of a request is stored to the minute, and an answer takes its time over a bad line. */
const SLACK_S = 120;

/**
 * Unix seconds after which a gateway last seen at `lastSeenAt` is silent: two of its intervals later. 0 if never
 * seen.
 */
export function expectedBy(lastSeenAt: number, intervalS: number | undefined): number {
  return lastSeenAt === 0 ? 0 : lastSeenAt + 2 * (intervalS ?? DEFAULT_INTERVAL_S) + SLACK_S;
}
