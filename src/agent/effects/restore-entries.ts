/** Puts back program entries that the boot guard, or an update, has set aside, once supervisord can start with them. */
import { existsSync } from 'node:fs';
import { describeError, GweError } from '../../base/errors.ts';
import { programFile, versionDirectory } from '../../store/layout.ts';
import { forgetSetAside, listSetAside, reasonSetAside } from '../../store/set-aside.ts';
import { programMode } from '../../supervisor/program.ts';
import { applyProgram } from '../../supervisor/programs.ts';
import { readProgram } from '../admission/program-entry.ts';
import type { AgentContext } from '../run/context.ts';
import { withTransactionLock } from '../run/transaction-lock.ts';

/** One look at all of them; what still cannot come back is logged and waits for the next look. Never throws. */
export async function restoreEntries(context: AgentContext): Promise<void> {
  for (const app of listSetAside(context.layout)) {
    try {
      await withTransactionLock(context, () => restore(context, app));
    } catch (error) {
      const reason = reasonSetAside(context.layout, app) ?? '';
      context.log.warn('supervisor.set-aside', { app, reason }, describeError(error));
    }
  }
}

async function restore(context: AgentContext, app: string): Promise<void> {
  const { layout } = context;
  const { active } = context.installed.get(app);
  const open = context.journal.read();
  if (open !== undefined && !open.closed && open.app === app) return; // The update writes the entry itself.
  if (active?.hasProgram !== true || existsSync(programFile(layout, app))) {
    forgetSetAside(layout, app);
    return;
  }
  const directory = versionDirectory(layout, app, active);
  const program = await readProgram(context, app, directory);
  if (program === undefined) throw new GweError('STORE_IO', `'${directory}' no longer has a supervisor.conf`);
  const entry = { app, text: program.text };
  await applyProgram(context.supervisor(), layout, entry, { mode: programMode(program) });
  const reason = reasonSetAside(layout, app) ?? '';
  forgetSetAside(layout, app);
  context.log.info('supervisor.put-back', { app, reason }, 'its program entry can be read again');
}
