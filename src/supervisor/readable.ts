/**
 * Whether supervisord can read its configuration: one file that it stumbles over, anybody's, and no program can be
 * changed.
 */
import { describeError, GweError } from '../base/errors.ts';
import { faultOf, type SupervisorClient } from './client.ts';

/** supervisord's complaint about the files as they are on the disk, which names the file. Changes nothing that runs. */
export async function readingFault(
  client: Pick<SupervisorClient, 'reloadConfig'>,
): Promise<GweError | undefined> {
  try {
    await client.reloadConfig();
    return undefined;
  } catch (error) {
    if (!(error instanceof GweError) || faultOf(error) !== 'CANT_REREAD') throw error;
    return error;
  }
}

/** Throws SUPERVISOR_REFUSED, with the words of supervisord, unless it can read its configuration. */
export async function assertReadable(
  client: Pick<SupervisorClient, 'reloadConfig'>,
  what: string,
): Promise<void> {
  const fault = await readingFault(client);
  if (fault === undefined) return;
  throw new GweError(
    'SUPERVISOR_REFUSED',
    `cannot ${what}: supervisord cannot read its configuration: ${describeError(fault)}; ` +
      'correct or remove the file that it names, then try again',
    { cause: fault, facts: { fault: 'CANT_REREAD' } },
  );
}
