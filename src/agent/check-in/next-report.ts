/** Which waiting report goes out with a check-in, so that the platform gets each of them exactly once. */
import { GweError, isDiskFault } from '../../base/errors.ts';
import type { DataApi } from '../../protocol/data.ts';
import { type CommandStore, entryId, readCommands } from '../../store/command.ts';
import type { PendingReport } from '../../store/outbox.ts';
import type { Delivery } from '../reports/delivery.ts';
import type { ReportMemory } from '../reports/sent.ts';
import type { AgentContext } from '../run/context.ts';

interface Parts {
  context: Pick<AgentContext, 'outbox' | 'journal' | 'log' | 'clock'>;
  data: DataApi;
  commands: CommandStore;
  memory: ReportMemory;
  delivery: Delivery;
}

/**
 * The oldest report that may be sent. One that an earlier call or process may have delivered before the
 * answer was lost is looked up on the platform first, and dropped if it is there.
 */
export async function nextReport(parts: Parts): Promise<PendingReport | undefined> {
  const { context, data, memory } = parts;
  const report = oldestSettled(parts);
  if (report === undefined || !memory.isInDoubt || !isUnique(report)) return report;
  if (!(await isThere(data, report))) return report;
  tickOff(parts, report);
  context.log.info('report.was-sent', { key: report.key });
  return oldestSettled(parts);
}

/** Whether a report is waiting that the next request may deliver. */
export function hasSendable({ context, delivery }: Pick<Parts, 'context' | 'delivery'>): boolean {
  return context.outbox.keys().some((key) => !isLeftOut(context, delivery, key));
}

/**
 * It has been delivered. If the disk does not allow it to be removed, that is remembered, so that it is not sent
 * twice.
 */
export function tickOff(
  { context, delivery }: Pick<Parts, 'context' | 'delivery'>,
  report: { key: string },
): void {
  delivery.passed(report.key);
  try {
    context.outbox.remove(report.key);
  } catch (error) {
    if (!isDiskFault(error)) throw error;
    delivery.delivered(report.key);
  }
}

/** What was delivered while the disk could not be written is removed once it can be. */
export function removeDelivered({ context, delivery }: Pick<Parts, 'context' | 'delivery'>): void {
  for (const key of delivery.deliveredKeys()) {
    try {
      context.outbox.remove(key);
      delivery.removed(key);
    } catch (error) {
      if (isDiskFault(error)) return;
      throw error;
    }
  }
}

function isLeftOut(context: Parts['context'], delivery: Delivery, key: string): boolean {
  return delivery.isHeld(key, context.clock.wallMs()) || delivery.deliveredKeys().includes(key);
}

/** A report is written before its entry is ticked off: until then it may be written, and would be sent, once more. */
function oldestSettled({ context, commands, delivery }: Parts): PendingReport | undefined {
  const report = context.outbox.oldest((key) => isLeftOut(context, delivery, key));
  if (report === undefined || report.isOnce) return report;
  const { current } = readCommands(commands);
  const isOfOpenEntry = current?.entries.some(
    (_, index) => index >= current.next && belongsTo(report.key, entryId(current, index)),
  );
  return isOfOpenEntry === true || isOfOpenTransaction(context, report.key) ? undefined : report;
}

function belongsTo(key: string, id: string): boolean {
  return key === id || key.startsWith(`${id}-log-`);
}

function isOfOpenTransaction(context: Pick<AgentContext, 'journal'>, key: string): boolean {
  try {
    const last = context.journal.read();
    return last !== undefined && !last.closed && last.id === key;
  } catch (error) {
    if (error instanceof GweError) return false; // Reported where the journal is needed.
    throw error;
  }
}

/** Only a report that names its transaction can be told from an earlier one of the same text. */
function isUnique({ key, value }: PendingReport): boolean {
  return value.includes(key);
}

const MEANS_NO: ReadonlySet<string> = new Set(['PROTOCOL_REFUSED', 'PROTOCOL_TOO_LARGE']);

export async function isThere(
  data: Pick<DataApi, 'readAliases'>,
  { alias, value }: Pick<PendingReport, 'alias' | 'value'>,
): Promise<boolean> {
  try {
    return (await data.readAliases([alias])).values.get(alias) === value;
  } catch (error) {
    // The platform only lets us write, or shows something that is not a report of ours: better twice than never.
    if (error instanceof GweError && MEANS_NO.has(error.code)) return false;
    throw error;
  }
}
