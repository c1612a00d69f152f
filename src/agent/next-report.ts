/** Which waiting report goes out with a check-in, so that the platform gets each of them exactly once. */
import { GweError } from '../base/errors.ts';
import type { DataApi } from '../protocol/data.ts';
import { type CommandStore, entryId } from './command.ts';
import type { AgentContext } from './context.ts';
import type { PendingReport } from './outbox.ts';
import type { ReportMemory } from './report-memory.ts';

interface Parts {
  context: AgentContext;
  data: DataApi;
  commands: CommandStore;
  memory: ReportMemory;
}

/**
 * The oldest report that may be sent. One that an earlier call or an earlier gwe may have brought through before the
 * answer was lost is looked for on the platform first, and forgotten if it is there.
 */
export async function nextReport(parts: Parts): Promise<PendingReport | undefined> {
  const { context, data, memory } = parts;
  const report = oldestSettled(parts);
  if (report === undefined || !memory.isInDoubt || !isUnique(report)) return report;
  if (!(await isThere(data, report))) return report;
  context.outbox.remove(report.key);
  context.log.info('report.was-sent', { key: report.key });
  return oldestSettled(parts);
}

/** A report is written before its entry is ticked off: until then it may be written, and would be sent, once more. */
function oldestSettled({ context, commands }: Parts): PendingReport | undefined {
  const report = context.outbox.oldest();
  if (report === undefined || report.isOnce) return report;
  const { current } = commands.read();
  const isOfOpenEntry = current?.entries.some(
    (_, index) => index >= current.next && belongsTo(report.key, entryId(current, index)),
  );
  return isOfOpenEntry === true || isOfOpenTransaction(context, report.key) ? undefined : report;
}

function belongsTo(key: string, id: string): boolean {
  return key === id || key.startsWith(`${id}-log-`);
}

function isOfOpenTransaction(context: AgentContext, key: string): boolean {
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

async function isThere(data: DataApi, { alias, value }: PendingReport): Promise<boolean> {
  try {
    return (await data.readAliases([alias])).values.get(alias) === value;
  } catch (error) {
    // A platform that lets us only write: better twice than never.
    if (error instanceof GweError && error.code === 'PROTOCOL_REFUSED') return false;
    throw error;
  }
}
