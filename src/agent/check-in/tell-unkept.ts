/** A report about a disk that cannot keep reports: it goes out at once, or not at all. */
import { describeError, GweError } from '../../base/errors.ts';
import { STATUS_ALIAS } from '../../protocol/messages.ts';
import { renderEntryReport } from '../reports/entry-report.ts';
import { shortReason } from './body-fault.ts';
import type { CheckInParts } from './parts.ts';

type Parts = Pick<CheckInParts, 'context' | 'data' | 'memory' | 'delivery'>;

/**
 * Reports each `topic` to the platform once; `next` says what happens until the disk works again. A write that fails
 * once is not told: the next try may pass, and has a report of its own.
 */
export async function tellFailure(parts: Parts, topic: string, error: GweError, next: string): Promise<void> {
  const { context, memory } = parts;
  const first = `${topic}:once`;
  if (error.code === 'STORE_IO' && !memory.toldWithoutDisk.has(first)) {
    memory.toldWithoutDisk.add(first);
    return;
  }
  const reason = `${describeError(error)}; ${next}`;
  const end = { outcome: 'failed-no-change', code: error.code, reason } as const;
  const report = renderEntryReport(context, { id: context.newId(), entry: { contentId: '' }, end });
  await tellUnkept(parts, topic, report);
}

async function tellUnkept(parts: Parts, topic: string, report: string): Promise<void> {
  const { context, data, memory, delivery } = parts;
  const nowMs = context.clock.wallMs();
  if (memory.toldWithoutDisk.has(topic) || delivery.isHeld(topic, nowMs)) return;
  try {
    await data.writeAliases([[STATUS_ALIAS, report]]);
    memory.toldWithoutDisk.add(topic);
    delivery.passed(topic);
  } catch (error) {
    if (!(error instanceof GweError) || error.code === 'CANCELLED') throw error;
    // The next check-in tries again: a small request has just succeeded.
    delivery.refused(topic, shortReason(error), nowMs);
  }
}
