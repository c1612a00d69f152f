/** Records that cannot be read any more are put aside: kept, they would stand between the agent and every command. */
import { describeError, GweError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { CommandStore } from './command.ts';
import type { AgentContext } from './context.ts';
import { reportEntry } from './entry-report.ts';

/** Looks at the journal and at the command that is under way. What is damaged is kept beside, logged and reported. */
export function setAsideDamaged(context: AgentContext, commands: CommandStore): void {
  for (const record of [context.journal, commands]) {
    try {
      record.read();
    } catch (error) {
      if (!(error instanceof GweError) || error.code !== 'JOURNAL_UNREADABLE') throw error;
      const kept = record.setAside();
      context.log.error('journal.set-aside', { kept }, describeError(error));
      const reason = `${describeError(error)}; it is kept as '${kept}', and an update that was under way is forgotten`;
      const end = { outcome: 'failed-no-change', code: error.code, reason } as const;
      reportEntry(context, context.newId(), { contentId: '' }, end);
    }
  }
}

/** `read`, but for what it gave last where it fails: a damaged Engine.config must not end the agent. */
export function orLastGood<T>(read: () => T, log: Logger): () => T {
  let last: { value: T } | undefined;
  let told = '';
  return () => {
    try {
      last = { value: read() };
      told = '';
      return last.value;
    } catch (error) {
      if (last === undefined) throw error;
      const found = describeError(error);
      if (found !== told) log.error('config.unreadable', {}, `${found}; the settings before stay in force`);
      told = found;
      return last.value;
    }
  };
}
