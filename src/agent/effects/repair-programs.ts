/** Program entries that a power cut has torn: supervisord starts nothing from them at the next boot. */
import type { VersionRecord } from '../../artifact/record.ts';
import { describeError } from '../../base/errors.ts';
import { versionDirectory } from '../../store/layout.ts';
import { repairProgram } from '../../supervisor/programs.ts';
import { readProgram } from '../admission/program-entry.ts';
import type { AgentContext } from '../run/context.ts';

/** Restores each from the active version. A missing entry stays missing: somebody removed it. */
export async function repairPrograms(context: AgentContext): Promise<void> {
  for (const [app, { active }] of Object.entries(context.installed.all()))
    if (active?.hasProgram === true) await repairOne(context, app, active);
}

async function repairOne(context: AgentContext, app: string, active: VersionRecord): Promise<void> {
  const { layout, log } = context;
  try {
    const directory = versionDirectory(layout, app, active);
    const program = await readProgram(context, app, directory, 'before-install');
    if (program === undefined) return;
    const isRepaired = await repairProgram(context.supervisor(), layout, app, program.text);
    if (isRepaired) log.warn('store.damaged', { app }, 'its program entry was damaged: restored');
  } catch (error) {
    log.warn('store.damaged', { app }, `its program entry could not be restored: ${describeError(error)}`);
  }
}
