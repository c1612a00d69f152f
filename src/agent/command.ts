/**
 * The command that is being carried out, durable from the moment it is read (design.md §5 "Once", spec §6.5-6.7):
 * written down, then cleared on the platform, then worked off entry by entry.
 */
import { createHash, randomBytes } from 'node:crypto';
import * as v from 'valibot';
import type { Clock } from '../base/clock.ts';
import { wrapError } from '../base/errors.ts';
import { readTextBounded, removeFileDurable, renameDurable, writeFileDurable } from '../base/fs.ts';
import type { Journal } from '../update/journal.ts';
import type { Outbox } from './outbox.ts';

const LARGEST_COMMAND_FILE_BYTES = 512 * 1024;

const EntrySchema = v.object({
  contentId: v.string(),
  sha256: v.optional(v.string()),
  urgent: v.optional(v.boolean()),
  problem: v.optional(v.string()),
  /** It asks for what an update printed. */
  log: v.optional(v.object({ app: v.optional(v.string()), tx: v.optional(v.string()) })),
});
export type CommandEntry = v.InferOutput<typeof EntrySchema>;

const CommandSchema = v.object({
  id: v.string(),
  /** sha256 of the alias's text. */
  digest: v.string(),
  /** Whether the alias has been cleared: not yet, yes and seen empty, or yes but the platform goes on showing it. */
  clear: v.picklist(['pending', 'shown', 'not-shown']),
  entries: v.array(EntrySchema),
  /** Index of the entry that is next. */
  next: v.number(),
});
export type Command = v.InferOutput<typeof CommandSchema>;

const FileSchema = v.object({
  version: v.literal(1),
  current: v.optional(CommandSchema),
  /** The last command on a platform that still shows it: not a new one until it has shown something else. */
  stuckDigest: v.optional(v.string()),
  /** The same of the last `update_interval`. */
  stuckInterval: v.optional(v.string()),
});
export type CommandState = v.InferOutput<typeof FileSchema>;

export interface CommandStore {
  read(): CommandState;
  write(state: Omit<CommandState, 'version'>): void;
  /** Puts an unreadable file aside, so that the next command can be taken over; returns its new path. */
  setAside(): string;
}

export function createCommandStore(path: string): CommandStore {
  return {
    read() {
      try {
        const text = readTextBounded(path, LARGEST_COMMAND_FILE_BYTES);
        if (text === undefined) return { version: 1 };
        return v.parse(FileSchema, JSON.parse(text));
      } catch (error) {
        throw wrapError(error, 'JOURNAL_UNREADABLE', `cannot read '${path}'`);
      }
    },
    write(state) {
      const isEmpty = [state.current, state.stuckDigest, state.stuckInterval].every(
        (part) => part === undefined,
      );
      if (isEmpty) removeFileDurable(path);
      else writeFileDurable(path, `${JSON.stringify({ version: 1, ...state })}\n`, 0o600);
    },
    setAside() {
      const aside = `${path}.unreadable`;
      renameDurable(path, aside);
      return aside;
    },
  };
}

/** The id of the transaction of one entry. */
export function entryId(command: Pick<Command, 'id'>, index: number): string {
  return `${command.id}-${String(index).padStart(2, '0')}`;
}

/** The last entry is done: forget the command, or remember it where the platform goes on showing it. */
export function finishCommand(commands: CommandStore, command: Command): void {
  const stuckDigest = command.clear === 'not-shown' ? command.digest : undefined;
  commands.write({ stuckDigest, stuckInterval: commands.read().stuckInterval });
}

export function digestText(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

const TIME_DIGITS = 9;

/** Sorts by time of creation; unique without looking anywhere. */
export function createId(wallMs: number): string {
  return `${Math.max(0, wallMs).toString(36).padStart(TIME_DIGITS, '0')}${randomBytes(3).toString('hex')}`;
}

/**
 * Ids that sort in the order of their creation whatever the clock does, also across a restart: each is later than the
 * last transaction and than every report that waits. Reports are sent in that order.
 */
export function createIdSource(
  clock: Pick<Clock, 'wallMs'>,
  journal: Pick<Journal, 'read'>,
  outbox: Pick<Outbox, 'newestKey'>,
): () => string {
  let lastMs = -1;
  const lastTransaction = (): string | undefined => {
    try {
      return journal.read()?.id;
    } catch {
      return undefined;
    }
  };
  return () => {
    lastMs = Math.max(lastMs, timeOfId(lastTransaction()), timeOfId(outbox.newestKey())) + 1;
    lastMs = Math.max(lastMs, clock.wallMs());
    return createId(lastMs);
  };
}

/** -1 for what is no id of ours. */
function timeOfId(id: string | undefined): number {
  const digits = id?.slice(0, TIME_DIGITS) ?? '';
  return /^[0-9a-y][0-9a-z]{8}$/.test(digits) ? Number.parseInt(digits, 36) : -1;
}
