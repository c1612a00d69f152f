/** Fetches and checks one entry of a command whose turn to be installed comes later. */
import { type Command, entryId } from '../../store/command.ts';
import { type RunnerDependencies, runTransaction } from '../../update/runner.ts';
import type { CommandWait } from '../run/command-time.ts';
import { behindCommandLine, withTransactionLock } from '../run/transaction-lock.ts';
import { type EntryContext, entryProblem, hasEnded, isParked, wantedOf } from './entry.ts';

/** Once; with a `wait` the platform is told of it. An entry that has a problem is left for its turn. */
export async function parkEntry(
  context: EntryContext,
  command: Command,
  { index, wait }: { index: number; wait: CommandWait | undefined },
  runner: RunnerDependencies,
): Promise<void> {
  const entry = command.entries[index];
  const id = entryId(command, index);
  if (entry === undefined || entry.log !== undefined || entryProblem(entry) !== undefined) return;
  if (isParked(context, id) || hasEnded(context, id)) return;
  const wanted = { ...wantedOf(command, index), parks: { reason: '', ...wait } };
  const run = async (): Promise<void> => {
    if (!isParked(context, id) && !hasEnded(context, id)) await runTransaction(wanted, runner);
  };
  await withTransactionLock(context, run, behindCommandLine(context, runner.signal));
}
