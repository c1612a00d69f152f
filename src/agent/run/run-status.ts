import * as v from 'valibot';
import type { Clock } from '../../base/clock.ts';
import { type StoredFile, storedFile } from '../../base/stored-file.ts';
import type { Layout } from '../../store/layout.ts';
import type { TrafficCounter } from '../traffic/counter.ts';

/** What the running agent tells the command line about itself: a small file on tmpfs, written at each check-in. */

const LARGEST_STATUS_BYTES = 64 * 1024;

const TrafficSchema = v.object({
  rxBytes: v.number(),
  txBytes: v.number(),
  maxRxBytes: v.number(),
  maxTxBytes: v.number(),
  requests: v.number(),
});

const RunStatusSchema = v.object({
  version: v.literal(1),
  pid: v.number(),
  gweVersion: v.string(),
  startedAtMs: v.number(),
  lastCheckIn: v.optional(
    v.object({ atMs: v.number(), isGood: v.boolean(), reason: v.optional(v.string()) }),
  ),
  lastGoodCheckInAtMs: v.optional(v.number()),
  /** Absent while a check-in or what it brought is being worked on. */
  nextCheckInAtMs: v.optional(v.number()),
  /** There while commands are waited for in long polls; `problem`: why they do not work. */
  longPoll: v.optional(v.object({ problem: v.optional(v.string()) })),
  /** Since the start of this agent, by purpose. */
  traffic: v.record(v.string(), TrafficSchema),
});
export type RunStatus = v.InferOutput<typeof RunStatusSchema>;

function statusFile(layout: Layout): StoredFile<RunStatus> {
  return storedFile(layout.runStatus, { schema: RunStatusSchema, limitBytes: LARGEST_STATUS_BYTES });
}

export interface StatusWriter {
  /** The platform has answered; what it asked for is being worked on now. */
  checkedIn(): void;
  failed(reason: string): void;
  /** Nothing to do until the next check-in, but to wait for a command where there are long polls. */
  resting(delayMs: number, longPoll: RunStatus['longPoll']): void;
  /** In such a rest. */
  polling(longPoll: RunStatus['longPoll']): void;
}

/** Keeps the file up to date for this process; `isWoken`: the same run goes on that wrote it last. */
export function createStatusWriter(
  context: { layout: Layout; clock: Clock; gweVersion: string },
  traffic: TrafficCounter,
  isWoken: boolean,
): StatusWriter {
  const { layout, clock, gweVersion } = context;
  const kept = readRunStatus(layout);
  const before = kept?.lastGoodCheckInAtMs;
  let status: RunStatus = (isWoken ? kept : undefined) ?? {
    version: 1,
    pid: process.pid,
    gweVersion,
    startedAtMs: clock.wallMs(),
    traffic: {},
    ...(before === undefined ? {} : { lastGoodCheckInAtMs: before }),
  };
  const write = (facts: Partial<RunStatus>): void => {
    const { nextCheckInAtMs: _next, longPoll: _polls, ...kept } = status;
    status = { ...kept, ...facts, traffic: traffic.totals() };
    writeRunStatus(layout, status);
  };
  return {
    checkedIn() {
      const atMs = clock.wallMs();
      write({ lastCheckIn: { atMs, isGood: true }, lastGoodCheckInAtMs: atMs });
    },
    failed: (reason) => write({ lastCheckIn: { atMs: clock.wallMs(), isGood: false, reason } }),
    resting(delayMs, longPoll) {
      const nextCheckInAtMs = Math.round(clock.wallMs() + delayMs);
      write({ nextCheckInAtMs, ...(longPoll === undefined ? {} : { longPoll }) });
    },
    polling(longPoll) {
      const { nextCheckInAtMs } = status;
      if (nextCheckInAtMs !== undefined)
        write({ nextCheckInAtMs, ...(longPoll === undefined ? {} : { longPoll }) });
    },
  };
}

/** It is for people, so a fault of the disk is not the agent's end: the check-in itself says when it is full. */
function writeRunStatus(layout: Layout, status: RunStatus): void {
  try {
    statusFile(layout).write(status);
  } catch {
    return;
  }
}

/** What the last agent wrote since the gateway was started, whether or not it still runs. */
export function readRunStatus(layout: Layout): RunStatus | undefined {
  return statusFile(layout).readOr(undefined);
}
