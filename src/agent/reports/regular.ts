/** The three regular reports, from one look at everything. */
import { describeError } from '../../base/errors.ts';
import { cutText } from '../../base/text.ts';
import { createSystemFiles } from '../../machine/system-files.ts';
import { type AppFacts, type OwnFacts, readAppFacts } from '../apps/app-facts.ts';
import { askSupervisord } from '../apps/supervisord-facts.ts';
import type { AgentContext } from '../run/context.ts';
import { readProtection } from '../run/protection.ts';
import { type ReleaseState, releaseState } from '../run/release-lists.ts';
import { shownCounters } from '../run/signed-commands.ts';
import type { SetAside } from './delivery.ts';
import { type ClockFacts, renderDeviceInfo } from './device-info.ts';
import { type Report, renderEngineReport } from './engine-report.ts';
import { renderUsageReport } from './usage-report.ts';

const LONGEST_PROBLEM_BYTES = 300;

export interface GatheredReports {
  /** By alias. Without `engine_report` when the record of what is installed cannot be read. */
  reports: Readonly<Record<string, Report>>;
  apps: readonly AppFacts[];
  clock: ClockFacts;
  /** A trusted key is for release lists. */
  hasLister: boolean;
}

/** `setAside`: reports that do not come through, to be named in those that do. */
export async function gatherReports(
  context: AgentContext,
  own: OwnFacts,
  setAside: readonly SetAside[] = [],
): Promise<GatheredReports> {
  const files = createSystemFiles();
  const maxBytes = context.settings().maxReportBytes;
  const supervisord = await askSupervisord(context);
  const apps = readApps(context, supervisord, own);
  const clock = readClock(context);
  const { problems, hasLister } = readProtection(context);
  const { problem, version } = supervisord;
  const hasPrograms = apps?.some(({ status }) => status === 'UNKNOWN') === true;
  if (hasPrograms && problem !== undefined) context.log.warn('supervisor.unreachable', {}, problem);
  const trustedMs = context.ledger.trustedMs();
  const today = trustedMs === undefined ? undefined : new Date(trustedMs).toISOString().slice(0, 10);
  return {
    reports: {
      usage_report: renderUsageReport({
        book: context.ledger.book(),
        budget: context.budget,
        today,
        setAside,
      }),
      device_info: renderDeviceInfo({
        files,
        gweVersion: context.gweVersion,
        gweUptimeS: own.uptimeS,
        clock,
        setAside,
        trust: problems.map((problem) => cutText(problem, LONGEST_PROBLEM_BYTES)).slice(0, 8),
        supervisord: {
          ...(version === undefined ? {} : { version }),
          ...(problem === undefined ? {} : { problem }),
        },
        maxBytes,
        intervalS: context.settings().updateIntervalS,
        commandCounters: readCounters(context),
        releases: hasLister ? await readReleases(context) : undefined,
      }),
      ...(apps === undefined
        ? {}
        : { engine_report: renderEngineReport(apps, { files, maxBytes, problem }) }),
    },
    apps: apps ?? [],
    clock,
    hasLister,
  };
}

/** A disk that does not give them keeps no report from being sent. */
function readCounters(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings'>,
): Record<string, number> | undefined {
  try {
    return shownCounters(context);
  } catch (error) {
    context.log.error('report.failed', { report: 'device_info' }, describeError(error));
    return undefined;
  }
}

/** The same of the release list. */
function readReleases(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'clock' | 'clockFloor'>,
): ReleaseState | undefined {
  try {
    return releaseState(context);
  } catch (error) {
    context.log.error('report.failed', { report: 'device_info' }, describeError(error));
    return undefined;
  }
}

/** A damaged record of what is installed must not keep a command from being read. */
function readApps(
  context: Pick<AgentContext, 'layout' | 'log' | 'gweVersion' | 'installed'>,
  supervisord: Awaited<ReturnType<typeof askSupervisord>>,
  own: OwnFacts,
): AppFacts[] | undefined {
  try {
    return readAppFacts(context, supervisord, own);
  } catch (error) {
    context.log.error('report.failed', { report: 'engine_report' }, describeError(error));
    return undefined;
  }
}

/** Ahead or behind by more than this is wrong; an answer's `Date` is a little old when it is read. */
const RIGHT_WITHIN_MS = 120_000;

function readClock(context: Pick<AgentContext, 'clock' | 'clockFloor' | 'ledger'>): ClockFacts {
  const nowMs = context.clock.wallMs();
  const now = Math.floor(nowMs / 1000);
  const trustedMs = context.ledger.trustedMs();
  if (context.clockFloor.isBelow()) return { now, state: 'behind' };
  if (trustedMs === undefined || !context.ledger.isByPlatform()) return { now, state: 'unverified' };
  const aheadMs = nowMs - trustedMs;
  return Math.abs(aheadMs) <= RIGHT_WITHIN_MS
    ? { now, state: 'right' }
    : { now, state: 'wrong', aheadS: Math.round(aheadMs / 1000) };
}
