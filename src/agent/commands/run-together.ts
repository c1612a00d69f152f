/**
 * A command whose apps are installed together: all of them, or none. All are fetched and checked first; then they are
 * installed in order, and should one fail, those before it are taken back in reverse. How far it is stands in the
 * command's file, so that the next start goes on with it, without the platform.
 */
import { KEYS_APP_NAME, matchArtifactName, RESERVED_APP_NAME } from '../../artifact/name.ts';
import { type Command, type CommandStore, entryId } from '../../store/command.ts';
import { type RunnerDependencies, reopenTransaction, runTransaction } from '../../update/runner.ts';
import { reportEntry } from '../reports/entry-report.ts';
import { commandWait } from '../run/command-time.ts';
import { behindCommandLine, withTransactionLock } from '../run/transaction-lock.ts';
import { type EntryContext, entryProblem, hasEnded, isParked, wantedOf } from './entry.ts';
import { parkEntry } from './park-entry.ts';

interface Group {
  context: EntryContext;
  commands: CommandStore;
  runner: RunnerDependencies;
}

/** True when it is over, false while it waits. Throws CANCELLED on stop. */
export async function runTogether(
  context: EntryContext,
  commands: CommandStore,
  runner: RunnerDependencies,
  command: Command,
): Promise<boolean> {
  const group = { context, commands, runner };
  if (command.together === 'fetching') {
    const problem = groupProblem(command) ?? (await fetchAll(group, command));
    if (problem !== undefined) {
      giveUpRest(group, command, problem);
      return true;
    }
    const isUrgent = indices(command).every((index) => command.entries[index]?.urgent === true);
    if (commandWait(context, command, isUrgent) !== undefined) return false;
    commands.write({ ...commands.read(), current: { ...command, together: 'installing' } });
  }
  const wait = behindCommandLine(context, runner.signal);
  await withTransactionLock(context, () => installAll(group), wait);
  return true;
}

/** The entries that install something, in their order. */
function indices({ entries }: Command): number[] {
  return [...entries.keys()].filter((index) => entries[index]?.log === undefined);
}

/** Why it cannot be a group. */
function groupProblem(command: Command): { reason: string; code: 'COMMAND_INVALID' } | undefined {
  const apps = new Set<string>();
  for (const index of indices(command)) {
    const entry = command.entries[index];
    const reason = entry === undefined ? undefined : entryProblem(entry);
    if (reason !== undefined)
      return { reason: `nothing of this command is installed: ${reason}`, code: 'COMMAND_INVALID' };
    const app = matchArtifactName(entry?.contentId ?? '')?.name ?? '';
    if (app === RESERVED_APP_NAME || app === KEYS_APP_NAME)
      return {
        reason: `cannot install '${app}' together with others: send it by itself`,
        code: 'COMMAND_INVALID',
      };
    if (apps.has(app))
      return {
        reason: `cannot install '${app}' twice together: expected each app once`,
        code: 'COMMAND_INVALID',
      };
    apps.add(app);
  }
  return undefined;
}

/** What keeps one of them from being there; the others are of no use then. */
async function fetchAll(
  { context, runner }: Group,
  command: Command,
): Promise<{ reason: string; code: 'COMMAND_TOGETHER' } | undefined> {
  const isUrgent = indices(command).every((index) => command.entries[index]?.urgent === true);
  for (const index of indices(command)) {
    const id = entryId(command, index);
    await parkEntry(context, command, { index, wait: commandWait(context, command, isUrgent) }, runner);
    if (hasEnded(context, id) || !isParked(context, id)) {
      const name = command.entries[index]?.contentId ?? '';
      return { reason: `'${name}' of the same command cannot be installed`, code: 'COMMAND_TOGETHER' };
    }
  }
  return undefined;
}

/** With the lock, so that nobody comes between two of them. */
async function installAll(group: Group): Promise<void> {
  const { context, commands, runner } = group;
  const command = commands.read().current;
  if (command === undefined) return;
  if (command.together === 'installing') {
    for (const index of indices(command)) {
      const id = entryId(command, index);
      if (context.parked.accepted(id) !== undefined) continue;
      const staged = context.parked.staged(id);
      const wanted = {
        ...wantedOf(command, index),
        ...(staged === undefined ? {} : { staged }),
        isTogether: true,
      };
      if (!hasEnded(context, id)) await runTransaction(wanted, runner);
      if (context.parked.accepted(id) !== undefined) continue;
      const togetherReason = `'${command.entries[index]?.contentId}' of the same command failed`;
      commands.write({
        ...commands.read(),
        current: { ...command, together: 'taking-back', togetherReason },
      });
      return installAll(group);
    }
  } else await takeBack(group, command);
  finish(group, command);
}

async function takeBack({ context, runner }: Group, command: Command): Promise<void> {
  const message = `taken back: ${command.togetherReason ?? 'another app of the same command failed'}`;
  for (const index of indices(command).reverse()) {
    const id = entryId(command, index);
    const accepted = context.parked.accepted(id);
    if (accepted !== undefined && !context.parked.isTakenBack(id))
      await reopenTransaction(accepted, { code: 'COMMAND_TOGETHER', message }, runner);
  }
}

/** What has not begun is told; what is left are entries that ask for logs. */
function finish(group: Group, command: Command): void {
  const reason = `${command.togetherReason ?? 'another app of the same command failed'}`;
  giveUpRest(group, command, { reason, code: 'COMMAND_TOGETHER' });
}

function giveUpRest(
  { context, commands }: Group,
  command: Command,
  { reason, code }: { reason: string; code: 'COMMAND_INVALID' | 'COMMAND_TOGETHER' },
): void {
  for (const index of indices(command)) {
    const entry = command.entries[index];
    const id = entryId(command, index);
    if (entry === undefined || hasEnded(context, id)) continue;
    const outcome = code === 'COMMAND_INVALID' ? 'rejected' : 'failed-no-change';
    const text =
      code === 'COMMAND_INVALID'
        ? reason
        : `cannot install '${entry.contentId}': ${reason}, and all of it is installed or nothing`;
    reportEntry(context, id, entry, { outcome, code, reason: text, command: command.name });
  }
  const { together: _together, togetherReason: _reason, ...rest } = command;
  const next = command.entries.findIndex(({ log }) => log !== undefined);
  const left = { ...rest, next: next === -1 ? command.entries.length : next };
  commands.write({ ...commands.read(), current: left });
}
