/**
 * Reports that cannot be delivered together with the rest: each in a request of its own, after the commands were
 * read.
 */
import { describeError, GweError } from '../../base/errors.ts';
import { STATUS_ALIAS } from '../../protocol/messages.ts';
import type { PendingReport } from '../../store/outbox.ts';
import { mayBeItsBody, shortReason } from './body-fault.ts';
import { isThere, nextReport, tickOff } from './next-report.ts';
import type { Outgoing } from './outgoing.ts';
import type { CheckInParts } from './parts.ts';

interface Single {
  /** Alias of a regular report, key of one that waits. */
  id: string;
  alias: string;
  value: string;
  pending?: PendingReport;
}

/**
 * Sends what is due, first what has been refused least, so that one that takes long to fail does not hold up the
 * others for ever. To be called after a small request of the same check-in has succeeded: only then is a failure the
 * report's. True if a report that waited has come through, so that the next one may follow.
 */
export async function sendOneByOne(parts: CheckInParts, outgoing: Outgoing): Promise<boolean> {
  const { delivery } = parts;
  const singles = await collect(parts, outgoing);
  let isClear = true;
  let hasMoved = false;
  for (const single of singles) {
    const end = await sendSingle(parts, outgoing, single);
    if (end === 'sent') hasMoved ||= single.pending !== undefined;
    else isClear = false;
    if (end === 'stop') break;
  }
  if (isClear) delivery.workedApart();
  return hasMoved;
}

/** One for each alias: an alias is not written twice within a second (one-platform.md §1.2). */
async function collect(parts: CheckInParts, { due }: Outgoing): Promise<Single[]> {
  const { delivery } = parts;
  const pending = await nextReport(parts).catch((error: unknown) => {
    // The platform could not be asked about it: it waits until it can.
    if (mayBeItsBody(error)) return undefined;
    throw error;
  });
  const singles: Single[] = due.map(([alias, value]) => ({ id: alias, alias, value }));
  if (pending !== undefined)
    singles.push({ id: pending.key, alias: pending.alias, value: pending.value, pending });
  return singles.sort((a, b) => delivery.refusals(a.id) - delivery.refusals(b.id));
}

async function sendSingle(
  parts: CheckInParts,
  outgoing: Outgoing,
  single: Single,
): Promise<'sent' | 'refused' | 'stop'> {
  const { data, memory } = parts;
  if (single.pending !== undefined) memory.isInDoubt = true;
  try {
    await data.writeAliases([[single.alias, single.value]]);
  } catch (error) {
    if (!(error instanceof GweError) || error.code === 'CANCELLED') throw error;
    if (!mayBeItsBody(error)) return 'stop';
    if (await noteRefusal(parts, single, error)) {
      noteSent(parts, outgoing, single);
      return 'sent';
    }
    const isLong = error.code === 'PROTOCOL_OFFLINE' || error.facts.retryAfterMs !== undefined;
    return isLong ? 'stop' : 'refused';
  }
  noteSent(parts, outgoing, single);
  return 'sent';
}

function noteSent(parts: CheckInParts, outgoing: Outgoing, { id, alias, pending }: Single): void {
  const { context, memory, delivery } = parts;
  delivery.passed(id);
  context.log.info('report.sent-alone', { report: id });
  if (pending === undefined) {
    memory.sent(outgoing.reports, [alias], context.clock.wallMs());
    return;
  }
  tickOff(parts, pending);
  memory.isInDoubt = false;
}

/** True if the platform has it nevertheless: only the answer was lost. */
async function noteRefusal(parts: CheckInParts, single: Single, error: GweError): Promise<boolean> {
  const { context, data, delivery } = parts;
  const { id, alias, value } = single;
  const isNaming = delivery.setAside().some(({ report }) => report !== undefined && value.includes(report));
  if (isNaming && alias !== STATUS_ALIAS) delivery.refusedNames();
  const isLast = delivery.refused(id, shortReason(error), context.clock.wallMs());
  const facts = { report: id, bytes: value.length, times: delivery.refusals(id) };
  if (!isLast) {
    context.log.warn('report.refused', facts, describeError(error));
    return false;
  }
  if (await isThere(data, { alias, value }).catch(() => false)) return true;
  context.log.error(
    'report.set-aside',
    facts,
    `${describeError(error)}; it is kept and tried once a day, and holds nothing else up`,
  );
  return false;
}
