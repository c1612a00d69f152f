/** What a check-in has read becomes this gateway's: the interval in force, the command written down, both cleared. */
import { describeError, type GweError, isDiskFault } from '../../base/errors.ts';
import { FETCH_ALIAS, INTERVAL_ALIAS } from '../../protocol/messages.ts';
import { type CommandState, type CommandStore, digestText, readCommands } from '../../store/command.ts';
import { reportEntry } from '../reports/entry-report.ts';
import { mayBeItsBody } from './body-fault.ts';
import { noteCommand } from './note-command.ts';
import { noteInterval } from './note-interval.ts';
import type { CheckInParts } from './parts.ts';
import { afterTry, isCommandClearDue, isIntervalClearDue, isTryDue } from './stuck-clear.ts';
import { tellFailure } from './tell-unkept.ts';

interface Taken {
  /** There is a command to work on. */
  hasWork: boolean;
  /** It has come with this check-in. */
  isNew: boolean;
  /** Why a command could not be accepted. It waits on the platform, where that has been reported. */
  problem?: GweError;
}

/** In the place of the digest of a command that was too long to be read. */
const TOO_LONG = 'too long';

/** Makes durable what was read, then clears it on the platform. Throws PROTOCOL_* when that has an outage. */
export async function takeOver(parts: CheckInParts, values: ReadonlyMap<string, string>): Promise<Taken> {
  const { commands } = parts;
  const intervalText = values.get(INTERVAL_ALIAS) ?? '';
  const fetchText = values.get(FETCH_ALIAS) ?? '';
  const before = readCommands(commands).current?.id;
  const isNewInterval = await noteInterval(parts, intervalText);
  const problem = await noteOrTell(parts, fetchText);
  const state = readCommands(commands);
  const clears: Clear[] = [];
  if (isNewInterval || isIntervalClearDue(parts, state, intervalText)) clears.push([INTERVAL_ALIAS, '']);
  if (state.current?.clear === 'pending' || isCommandClearDue(parts, state, fetchText))
    clears.push([FETCH_ALIAS, '']);
  if (clears.length > 0) await clearAliases(parts, clears, values);
  const current = readCommands(commands).current?.id;
  const taken = { hasWork: current !== undefined, isNew: current !== undefined && current !== before };
  return problem === undefined ? taken : { ...taken, problem };
}

/**
 * On a disk that cannot be written no command can be accepted. It stays on the platform, where the reason is reported
 * once.
 */
async function noteOrTell(parts: CheckInParts, text: string): Promise<GweError | undefined> {
  const { memory } = parts;
  const topic = `command:${digestText(text)}`;
  try {
    parts.lock.require();
    noteCommand(parts, text);
    for (const told of memory.toldWithoutDisk)
      if (told.startsWith('command:')) memory.toldWithoutDisk.delete(told);
    return undefined;
  } catch (error) {
    if (!isDiskFault(error)) throw error;
    if (text === '') return undefined;
    await tellFailure(parts, topic, error, `the command waits until ${untilWhen(error)}`);
    return error;
  }
}

function untilWhen({ code }: GweError): string {
  return code === 'STORE_NO_SPACE' ? 'there is space' : 'the disk is writable';
}

type Clear = readonly [alias: string, value: ''];

/**
 * One hybrid call that empties aliases and reads them back: empty means that a later text is a new command. Where it
 * does not come through although a small request does, the work goes on, and clearing is tried again at the next
 * check-in.
 */
async function clearAliases(
  parts: CheckInParts,
  clears: readonly Clear[],
  before: ReadonlyMap<string, string>,
): Promise<void> {
  const { data } = parts;
  const names = clears.map(([alias]) => alias);
  try {
    const { values } = await data.exchange([...clears], names);
    noteCleared(parts, { names, before, after: values, isSent: true });
  } catch (error) {
    if (!mayBeItsBody(error)) throw error;
    const { values } = await data.readAliases(names);
    noteCleared(parts, { names, before, after: values, isSent: false });
    parts.context.log.warn('command.clear-failed', { aliases: names.join(',') }, describeError(error));
  }
}

interface Cleared {
  names: readonly string[];
  before: ReadonlyMap<string, string>;
  after: ReadonlyMap<string, string>;
  /** Whether the platform has accepted the writing. */
  isSent: boolean;
}

function noteCleared(parts: CheckInParts, { names, before, after, isSent }: Cleared): void {
  const { commands } = parts;
  const intervalText = before.get(INTERVAL_ALIAS) ?? '';
  const isShown = after.get(INTERVAL_ALIAS) === intervalText;
  if (isSent && names.includes(INTERVAL_ALIAS))
    tryWrite(commands, { stuckInterval: isShown ? digestText(intervalText) : undefined });
  if (names.includes(FETCH_ALIAS)) noteCommandCleared(parts, after.get(FETCH_ALIAS) ?? '', isSent);
  const state = readCommands(commands);
  if (isSent && names.some((name) => isStillShown(state, name, after.get(name) ?? '')))
    tryWrite(commands, afterTry(parts, state));
}

/** Whether the platform shows what it was asked to clear. */
function isStillShown(
  { current, stuckDigest, stuckInterval }: CommandState,
  name: string,
  text: string,
): boolean {
  const stuck = name === INTERVAL_ALIAS ? stuckInterval : (current?.digest ?? stuckDigest);
  return text !== '' && stuck === digestText(text);
}

function noteCommandCleared({ context, commands }: CheckInParts, left: string, isSent: boolean): void {
  const state = readCommands(commands);
  if (state.current === undefined) {
    // Seen empty, or another text: a later one is a new command.
    if (!isStillShown(state, FETCH_ALIAS, left))
      tryWrite(commands, { stuckDigest: undefined, isClearDue: undefined });
    else if (isSent) tryWrite(commands, { isClearDue: undefined });
    return;
  }
  if (isSent && state.isClearDue === true) tryWrite(commands, { isClearDue: undefined });
  if (state.current.clear !== 'pending') return;
  const isStuck = isStillShown(state, FETCH_ALIAS, left);
  if (isStuck && !isSent) return;
  commands.write({ ...state, current: { ...state.current, clear: isStuck ? 'not-shown' : 'shown' } });
  if (isStuck)
    context.log.warn(
      'command.not-cleared',
      { command: state.current.id },
      'the platform still shows the command although it was cleared: it is carried out once, and cleared again from time to time',
    );
}

/** A check-in must not fail for something that only saves a repetition. */
function tryWrite(commands: CommandStore, changes: Partial<CommandState>): void {
  try {
    commands.write({ ...readCommands(commands), ...changes });
  } catch (error) {
    if (!isDiskFault(error)) throw error;
  }
}

/** False if that has been done already and did not help: the failure stands then, and it is done again later. */
export async function clearTooLong(parts: CheckInParts, error: GweError): Promise<boolean> {
  const { context, commands } = parts;
  const state = readCommands(commands);
  if (state.stuckDigest === TOO_LONG) {
    if (!isTryDue(parts, state)) return false;
    tryWrite(commands, afterTry(parts, state));
    await clearBoth(parts);
    return false;
  }
  const reason = `cannot use engine_fetch or update_interval: ${describeError(error)}; both were cleared`;
  try {
    const end = { outcome: 'rejected', code: 'COMMAND_INVALID', reason } as const;
    reportEntry(context, context.newId(), { contentId: '' }, end);
    commands.write({ ...state, stuckDigest: TOO_LONG, ...afterTry(parts, { version: 1 }) });
  } catch (fault) {
    if (!isDiskFault(fault)) throw fault;
    await tellFailure(parts, 'command:too-long', error, 'both aliases were cleared');
  }
  parts.polls.hasTaken = true;
  await clearBoth(parts);
  return true;
}

function clearBoth({ data }: CheckInParts): Promise<void> {
  return data.writeAliases([
    [FETCH_ALIAS, ''],
    [INTERVAL_ALIAS, ''],
  ]);
}
