/** One entry of a command: what is asked of it, and how far it is. */
import { matchArtifactName, parseArtifactName } from '../../artifact/name.ts';
import { describeError } from '../../base/errors.ts';
import { type Command, type CommandEntry, entryId } from '../../store/command.ts';
import { readHistory } from '../../store/history.ts';
import type { NewTransaction } from '../../update/runner.ts';
import type { AgentContext } from '../run/context.ts';

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
