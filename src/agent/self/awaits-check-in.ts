/** Which version of itself runs. */
import { LAUNCHED_VARIABLE } from '../../service/starts.ts';
import { type VersionId, versionDirectoryName } from '../../store/layout.ts';
import type { Transaction } from '../../update/journal.ts';
import type { AgentContext } from '../run/context.ts';

/** True for an update of gwe that waits for its first check-in: nothing can be said about it before. */
export function awaitsCheckIn(context: Pick<AgentContext, 'env'>, transaction: Transaction): boolean {
  const { app, state, version, digest } = transaction;
  return (
    app === 'gwe' && state === 'probing' && digest !== undefined && isRunning(context, { version, digest })
  );
}

/** Whether this process is the version that the transaction installs. */
export function isRunning(context: Pick<AgentContext, 'env'>, id: VersionId): boolean {
  return context.env[LAUNCHED_VARIABLE] === versionDirectoryName(id);
}
