/** A command as read: written down before anything is done about it. */
import { decodeInstruction } from '../../protocol/messages.ts';
import { type Command, type CommandEntry, digestText, entryId, readCommands } from '../../store/command.ts';
import { reportEntry } from '../reports/entry-report.ts';
import type { AgentContext } from '../run/context.ts';
import { type CommandRefusal, judgeCommand, noteBegun } from '../run/signed-commands.ts';
import type { CheckInParts } from './parts.ts';
import { afterTry } from './stuck-clear.ts';

/** Writes a command down before anything is done about it. */
export function noteCommand(parts: CheckInParts, text: string): void {
  const { context, commands, polls } = parts;
  const state = readCommands(commands);
  const digest = digestText(text);
  if (state.current !== undefined) {
    // Stopped between storing and clearing: an empty or different text shows that the clear succeeded.
    const isOther = digest !== state.current.digest;
    if (state.current.clear === 'pending' && isOther) {
      commands.write({ ...state, current: { ...state.current, clear: 'shown' } });
    }
    if (text === '' || !isOther) return;
    // Some of its apps are the new ones: it is finished first, and the newer command waits on the platform.
    if (state.current.together === 'installing' || state.current.together === 'taking-back') return;
    if (state.stuckDigest === digest) return;
    const other = judgeCommand(context, text);
    if (other.refusal !== undefined) {
      refuseBeside(parts, { ...decodeCommand(context, text), digest }, other.refusal);
      return;
    }
    context.log.info('command.superseded', { command: state.current.id }, 'a newer command replaces it');
    reportGivenUp(context, state.current);
    context.parked.clear();
  }
  if (state.stuckDigest !== undefined && state.stuckDigest !== digest && state.current === undefined)
    commands.write({ ...state, stuckDigest: undefined, isClearDue: undefined });
  if (text === '' || state.stuckDigest === digest) return;
  const { stuckInterval } = state;
  const { signed, refusal } = judgeCommand(context, text);
  const decoded = { ...decodeCommand(context, text), digest };
  const command =
    refusal === undefined
      ? { ...decoded, ...(signed === undefined ? {} : { signed }) }
      : refused(decoded, refusal);
  commands.write({ current: command, stuckInterval });
  noteBegun(context, command);
  polls.hasTaken = true;
}

/** Each of its entries is reported, at once, and nothing else is done about it. */
function refused(
  { id, name, digest, clear, entries, next }: Command,
  { code, reason }: CommandRefusal,
): Command {
  const problems = entries.map((entry) =>
    entry.problem === undefined ? { ...entry, problem: reason, problemCode: code } : entry,
  );
  return { id, digest, clear, next, entries: problems, ...(name === undefined ? {} : { name }) };
}

/** What is under way was trusted, and goes on: a command that is not takes nothing's place. */
function refuseBeside(parts: CheckInParts, command: Command, refusal: CommandRefusal): void {
  const { context, commands } = parts;
  for (const [index, entry] of refused(command, refusal).entries.entries()) {
    const { problemCode: code = 'COMMAND_INVALID', problem: reason = refusal.reason } = entry;
    const end = { outcome: 'rejected', code, reason, command: command.name } as const;
    reportEntry(context, entryId(command, index), entry, end);
  }
  const stuck = { stuckDigest: command.digest, isClearDue: true, ...afterTry(parts, { version: 1 }) };
  commands.write({ ...readCommands(commands), ...stuck });
}

/** Entries that have not been started. The one under way is reported by its transaction. */
function reportGivenUp(
  context: Pick<
    AgentContext,
    'layout' | 'clock' | 'log' | 'settings' | 'device' | 'journal' | 'outbox' | 'clockFloor'
  >,
  command: Command,
): void {
  const last = context.journal.read();
  const begun = last?.state === 'parked' ? undefined : last?.id;
  for (const [index, entry] of command.entries.entries()) {
    const id = entryId(command, index);
    if (index < command.next || id === begun) continue;
    const reason = `cannot carry out '${entry.contentId}': a newer command arrived before its turn`;
    const end = { outcome: 'failed-no-change', code: 'CANCELLED', reason, command: command.name } as const;
    reportEntry(context, id, entry, end);
  }
}

function decodeCommand(context: Pick<AgentContext, 'log' | 'newId'>, text: string): Omit<Command, 'digest'> {
  const id = context.newId();
  const instruction = decodeInstruction(text);
  context.log.info('command.read', { command: id, bytes: text.length, kind: instruction.kind });
  const entries: CommandEntry[] =
    instruction.kind === 'install'
      ? instruction.entries
      : instruction.kind === 'invalid'
        ? [{ contentId: '', problem: instruction.reason }]
        : [];
  const command = { id, clear: 'pending', entries, next: 0 } as const;
  if (instruction.kind !== 'install') return command;
  const { id: name, notBefore, window, isTogether } = instruction;
  return {
    ...command,
    ...(name === undefined ? {} : { name }),
    ...(notBefore === undefined ? {} : { notBefore }),
    ...(window === undefined ? {} : { window }),
    ...(isTogether === true ? { together: 'fetching' as const } : {}),
  };
}
