/** Carries out the entries of the command that has been taken over, one transaction each. */
import { type Command, type CommandStore, entryId, finishCommand } from '../../store/command.ts';
import { type RunnerDependencies, runTransaction } from '../../update/runner.ts';
import { reportEntry } from '../reports/entry-report.ts';
import { sendLog } from '../reports/log-pieces.ts';
import { type CommandWait, commandWait } from '../run/command-time.ts';
import { noteBegun, noteEnded, refusalOfRest } from '../run/signed-commands.ts';
import { behindCommandLine, withTransactionLock } from '../run/transaction-lock.ts';
import { type EntryContext, entryProblem, hasEnded, haveAllDone, refuseRest, wantedOf } from './entry.ts';
import { parkEntry } from './park-entry.ts';
import { runTogether } from './run-together.ts';

/**
 * Each entry is carried out once, in order, whatever became of the ones before it; one whose time has not come is fetched
 * and checked, and waits. Throws CANCELLED on stop.
 */
export async function runEntries(
  context: EntryContext,
  commands: CommandStore,
  runner: RunnerDependencies,
): Promise<void> {
  for (let command = commands.read().current; command !== undefined; command = commands.read().current) {
    const entry = command.entries[command.next];
    noteBegun(context, command);
    if (entry === undefined) {
      context.parked.clear();
      if (command.signed !== undefined) noteEnded(context, command, haveAllDone(context, command));
      finishCommand(commands, command);
      return;
    }
    const refusal = refusalOfRest(context, command);
    if (refusal !== undefined && !hasEnded(context, entryId(command, command.next))) {
      refuseRest(context, commands, command, refusal);
      continue;
    }
    if (command.together !== undefined && entry.log === undefined) {
      if (await runTogether(context, commands, runner, command)) continue;
      return;
    }
    const wait = entry.log === undefined ? commandWait(context, command, entry.urgent === true) : undefined;
    if (wait !== undefined && !hasEnded(context, entryId(command, command.next))) {
      await parkEntries(context, command, wait, runner);
      return;
    }
    await runEntry(context, command, command.next, runner);
    commands.write({ ...commands.read(), current: { ...command, next: command.next + 1 } });
  }
}

async function runEntry(
  context: EntryContext,
  command: Command,
  index: number,
  runner: RunnerDependencies,
): Promise<void> {
  const entry = command.entries[index];
  const id = entryId(command, index);
  if (entry === undefined || hasEnded(context, id)) return;
  const reason = entryProblem(entry);
  if (reason !== undefined) {
    const code = entry.problemCode ?? 'COMMAND_INVALID';
    const end = { outcome: 'rejected', code, reason, command: command.name } as const;
    reportEntry(context, id, entry, end);
    return;
  }
  if (entry.log !== undefined) {
    sendLog(context, id, entry);
    return;
  }
  const staged = context.parked.staged(id);
  const wanted = { ...wantedOf(command, index), ...(staged === undefined ? {} : { staged }) };
  const run = async (): Promise<void> => {
    // Somebody may have cancelled it while another had the lock.
    if (!hasEnded(context, id)) await runTransaction(wanted, runner);
  };
  await withTransactionLock(context, run, behindCommandLine(context, runner.signal));
}

/** Fetches and checks those whose turn has not come, each once, and says what they wait for. */
async function parkEntries(
  context: EntryContext,
  command: Command,
  wait: CommandWait,
  runner: RunnerDependencies,
): Promise<void> {
  for (const index of command.entries.keys())
    if (index >= command.next) await parkEntry(context, command, { index, wait }, runner);
}
