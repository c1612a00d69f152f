/** Records that can no longer be read are set aside: otherwise they would block every command. */
import { describeError, GweError, isDiskFault } from '../../base/errors.ts';
import type { CommandStore } from '../../store/command.ts';
import { reportEntry } from '../reports/entry-report.ts';
import type { AgentContext } from '../run/context.ts';

/** Looks at the journal and at the command that is under way. What is damaged is kept beside, logged and reported. */
export function setAsideDamaged(
  context: Pick<
    AgentContext,
    'layout' | 'clock' | 'log' | 'settings' | 'device' | 'journal' | 'outbox' | 'clockFloor' | 'newId'
  >,
  commands: CommandStore,
): void {
  for (const record of [context.journal, commands]) {
    try {
      record.read();
    } catch (error) {
      if (!(error instanceof GweError) || error.code !== 'JOURNAL_UNREADABLE') throw error;
      setAside(context, record, error);
    }
  }
}

function setAside(
  context: Pick<
    AgentContext,
    'layout' | 'clock' | 'log' | 'settings' | 'device' | 'outbox' | 'clockFloor' | 'newId'
  >,
  record: Pick<CommandStore, 'setAside'>,
  error: GweError,
): void {
  try {
    const kept = record.setAside();
    context.log.error('journal.set-aside', { kept }, describeError(error));
    const reason = `${describeError(error)}; it is kept as '${kept}', and an update that was under way is forgotten`;
    const end = { outcome: 'failed-no-change', code: error.code, reason } as const;
    reportEntry(context, context.newId(), { contentId: '' }, end);
  } catch (fault) {
    // Commands are read all the same, and wait for the disk.
    if (!isDiskFault(fault)) throw fault;
    context.log.error('journal.damaged', {}, `${describeError(error)}; ${describeError(fault)}`);
  }
}
