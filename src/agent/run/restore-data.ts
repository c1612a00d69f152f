/** Data directories that are gone: a disk that was emptied, or one in memory after a restart of the gateway. */
import { describeError } from '../../base/errors.ts';
import { listDirectory } from '../../base/fs.ts';
import { appDataDirectory, programFile } from '../../store/layout.ts';
import { restoreDataDirectory } from '../../supervisor/data-directory.ts';
import { groupProcesses, readOwn } from '../../supervisor/programs.ts';
import type { AgentContext } from './context.ts';

type RestoreContext = Pick<AgentContext, 'layout' | 'log'>;

/** Makes the data directory of `app` again if its program entry needs it and it is missing; true if it was. */
export function restoreAppData({ layout, log }: RestoreContext, app: string): boolean {
  const entry = readOwn(programFile(layout, app), app);
  const path = appDataDirectory(layout, app);
  if (entry === undefined || !restoreDataDirectory(path, entry)) return false;
  log.warn('data.restored', { app }, `'${path}' was missing: it was created again, empty`);
  return true;
}

/**
 * The same for every app, before anything else: supervisord gives up a program that it cannot start in its directory.
 */
export async function restoreAllData(
  context: RestoreContext & Pick<AgentContext, 'supervisor'>,
): Promise<void> {
  for (const app of listDirectory(context.layout.appsDirectory)) {
    try {
      if (restoreAppData(context, app)) await startGivenUp(context, app);
    } catch (error) {
      context.log.warn('data.missing', { app }, describeError(error));
    }
  }
}

async function startGivenUp({ supervisor }: Pick<AgentContext, 'supervisor'>, app: string): Promise<void> {
  const client = supervisor();
  const processes = await groupProcesses(client, app);
  if (processes.some(({ statename }) => statename === 'FATAL')) await client.startProcessGroup(app, false);
}
