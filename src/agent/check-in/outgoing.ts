/** What a check-in has to report. */
import { describeError } from '../../base/errors.ts';
import { writeMetrics } from '../reports/metrics.ts';
import { type GatheredReports, gatherReports } from '../reports/regular.ts';
import type { CheckInParts } from './parts.ts';

export interface Outgoing {
  /** The regular ones, by alias. */
  reports: GatheredReports['reports'];
  /** Those of them that are worth sending and may be sent now. */
  due: [alias: string, text: string][];
  /** Nothing is left of the month's bytes: commands are read, and nothing is reported. */
  isSilent: boolean;
  /** Those of `due` that were set aside and may be tried again: they are sent alone. */
  hasTrial: boolean;
  /** A trusted key is for release lists. */
  hasLister: boolean;
  /** Records in the metrics how the check-in went. */
  measure(isGood: boolean): void;
}

/** Nothing that goes wrong here may keep a command from being read. */
export async function gatherOutgoing(parts: CheckInParts): Promise<Outgoing> {
  const { context, memory, delivery } = parts;
  const nowMs = context.clock.wallMs();
  const isSilent = context.budget.state()?.leftBytes === 0;
  const uptimeS = (context.clock.monotonicMs() - parts.startedMs) / 1000;
  try {
    const own = { isAgent: true, pid: process.pid, uptimeS };
    const gathered = await gatherReports(context, own, delivery.setAside());
    const reports = affordable(parts, gathered.reports);
    const due = isSilent
      ? []
      : memory.select(reports, nowMs).filter(([alias]) => !delivery.isHeld(alias, nowMs));
    return {
      reports,
      due,
      isSilent,
      hasTrial: due.some(([alias]) => delivery.isSetAside(alias)),
      hasLister: gathered.hasLister,
      measure: (isGood) => writeMetrics(context, gathered, { isGood }),
    };
  } catch (error) {
    context.log.error('report.failed', { report: 'all' }, describeError(error));
    return { reports: {}, due: [], isSilent, hasTrial: false, hasLister: false, measure: () => undefined };
  }
}

/** With only the reserve of the budget left, no other report than the one that says so. */
function affordable({ context }: CheckInParts, reports: GatheredReports['reports']): Outgoing['reports'] {
  const { usage_report: usage } = reports;
  const isTight = context.budget.state()?.isTight === true;
  return isTight && usage !== undefined ? { usage_report: usage } : reports;
}
