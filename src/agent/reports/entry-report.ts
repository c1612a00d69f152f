/** The report about an entry of a command that never became a transaction. */
import { matchArtifactName } from '../../artifact/name.ts';
import type { ErrorCode, Outcome } from '../../base/errors.ts';
import type { CommandEntry } from '../../store/command.ts';
import type { AgentContext } from '../run/context.ts';
import { renderFailure } from './failure-report.ts';

interface EntryEnd {
  outcome: Extract<Outcome, 'rejected' | 'failed-no-change'>;
  code: ErrorCode;
  reason: string;
  /** What the writer of the command calls it. */
  command?: string | undefined;
}

/** Hands the report to the outbox under `id`, so that the same again is one report. */
export function reportEntry(
  context: Pick<AgentContext, 'layout' | 'clock' | 'log' | 'settings' | 'device' | 'outbox' | 'clockFloor'>,
  id: string,
  entry: CommandEntry,
  end: EntryEnd,
): void {
  context.log.warn(
    'command.rejected',
    { tx: id, name: entry.contentId.slice(0, 160), code: end.code },
    end.reason,
  );
  const render = (sequence: number): string => renderEntryReport(context, { id, entry, end }, sequence);
  context.outbox.putFailure(id, 'fetch_status', render);
}

/** `sequence` is 0 for a report that is sent without being stored. */
export function renderEntryReport(
  context: Pick<AgentContext, 'layout' | 'clock' | 'settings' | 'device' | 'clockFloor'>,
  { id, entry, end }: { id: string; entry: CommandEntry; end: EntryEnd },
  sequence = 0,
): string {
  const parsed = matchArtifactName(entry.contentId);
  const status = {
    name: parsed?.name ?? entry.contentId.slice(0, 160),
    version: parsed?.version ?? '',
    status: 'failure',
    exitcode: -1,
    test: end.outcome === 'rejected' ? end.reason : 'passed',
    info: '',
    outcome: end.outcome,
    tx: id,
    ...(end.command === undefined ? {} : { command: end.command }),
    code: end.code,
    reason: end.reason,
  };
  const { contentId, sha256, urgent } = entry;
  return renderFailure(context, { status, asked: { id: contentId, sha256, urgent } }, sequence);
}
