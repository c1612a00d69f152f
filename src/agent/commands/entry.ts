/** One entry of a command: what is asked of it, and how far it is. */
import { matchArtifactName, parseArtifactName } from '../../artifact/name.ts';
import { describeError } from '../../base/errors.ts';
import { type Command, type CommandEntry, type CommandStore, entryId } from '../../store/command.ts';
import { readHistory } from '../../store/history.ts';
import type { NewTransaction } from '../../update/runner.ts';
import { reportEntry } from '../reports/entry-report.ts';
import type { AgentContext } from '../run/context.ts';
import type { CommandRefusal } from '../run/signed-commands.ts';

export type EntryContext = Pick<
  AgentContext,
  | 'layout'
  | 'clock'
  | 'log'
  | 'settings'
  | 'device'
  | 'journal'
  | 'outbox'
  | 'clockFloor'
  | 'budget'
  | 'parked'
>;

/** What is wrong with it, or `undefined`. */
export function entryProblem(entry: CommandEntry): string | undefined {
  if (entry.problem !== undefined || entry.log !== undefined) return entry.problem;
  try {
    parseArtifactName(entry.contentId);
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}

/** The transaction that carries it out. */
export function wantedOf(command: Command, index: number): NewTransaction {
  const entry = command.entries[index];
  const { name: app = '', version = '' } = matchArtifactName(entry?.contentId ?? '') ?? {};
  return {
    id: entryId(command, index),
    app,
    version,
    contentId: entry?.contentId ?? '',
    source: { kind: 'content' },
    commandDigest: command.digest,
    ...(entry?.sha256 === undefined ? {} : { expectedSha256: entry.sha256 }),
    ...(entry?.urgent === true ? { urgent: true } : {}),
    ...(command.name === undefined ? {} : { command: command.name }),
  };
}

/** It is fetched and checked, and waits. */
export function isParked({ parked }: Pick<AgentContext, 'parked'>, id: string): boolean {
  return parked.staged(id) !== undefined;
}

/** gwe was killed between an entry's end and the note of it; a command line may have used the journal since. */
export function hasEnded(context: Pick<AgentContext, 'layout' | 'journal'>, id: string): boolean {
  const last = context.journal.read();
  if (last?.id === id && last.closed && last.state !== 'parked') return true;
  return readHistory(context.layout).some((entry) => entry.tx === id);
}

/** Whether each of them did what was asked. */
export function haveAllDone({ layout }: Pick<AgentContext, 'layout'>, command: Command): boolean {
  const history = readHistory(layout);
  return command.entries.every(({ log }, index) => {
    const found = history.find(({ tx }) => tx === entryId(command, index))?.outcome;
    return log !== undefined || found === 'installed' || found === 'unchanged';
  });
}

/** What has not been carried out is reported, and is not any more. */
export function refuseRest(
  context: EntryContext,
  commands: CommandStore,
  command: Command,
  { code, reason }: CommandRefusal,
): void {
  for (const [index, entry] of command.entries.entries()) {
    const id = entryId(command, index);
    if (index < command.next || hasEnded(context, id)) continue;
    reportEntry(context, id, entry, { outcome: 'rejected', code, reason, command: command.name });
  }
  const { together: _together, ...rest } = command;
  commands.write({ ...commands.read(), current: { ...rest, next: command.entries.length } });
}
