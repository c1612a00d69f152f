import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { GweError, wrapError } from '../base/errors.ts';
import { storedFile } from '../base/stored-file.ts';

/**
 * The command that is being carried out, durable from the moment it is read (src/agent/README.md, "The path of an
 * update", one-platform.md §6.5-6.7): written down, then cleared on the platform, then worked off entry by entry.
 */

const LARGEST_COMMAND_FILE_BYTES = 512 * 1024;

const EntrySchema = v.object({
  contentId: v.string(),
  sha256: v.optional(v.string()),
  urgent: v.optional(v.boolean()),
  problem: v.optional(v.string()),
  /** Where it is not COMMAND_INVALID. */
  problemCode: v.optional(v.picklist(['COMMAND_UNTRUSTED', 'COMMAND_STALE'])),
  /** It requests the output of an update. */
  log: v.optional(v.object({ app: v.optional(v.string()), tx: v.optional(v.string()) })),
});
export type CommandEntry = v.InferOutput<typeof EntrySchema>;

const CommandSchema = v.object({
  id: v.string(),
  /** What its writer calls it. */
  name: v.optional(v.string()),
  /** sha256 of the alias's text. */
  digest: v.string(),
  /** Whether the alias has been cleared: not yet, yes and seen empty, or yes but the platform still shows it. */
  clear: v.picklist(['pending', 'shown', 'not-shown']),
  entries: v.array(EntrySchema),
  /** Index of the entry that is next. */
  next: v.number(),
  /** Not installed before this, Unix seconds. */
  notBefore: v.optional(v.number()),
  /** When it may be installed, as `parseWindows` reads it. */
  window: v.optional(v.string()),
  /** All of it or nothing; how far that is. */
  together: v.optional(v.picklist(['fetching', 'installing', 'taking-back'])),
  /** Why it is taken back. */
  togetherReason: v.optional(v.string()),
  /** Who signed it, and for how long, where that is required; `digest` is of what was signed. */
  signed: v.optional(
    v.object({ by: v.string(), counter: v.number(), until: v.number(), digest: v.string() }),
  ),
});
export type Command = v.InferOutput<typeof CommandSchema>;

const FileSchema = v.object({
  version: v.literal(1),
  current: v.optional(CommandSchema),
  /** The last command on a platform that still shows it: not a new one until it has shown something else. */
  stuckDigest: v.optional(v.string()),
  /** It is still shown because clearing it failed: to be tried again. */
  isClearDue: v.optional(v.boolean()),
  /** The same of the last `update_interval`. */
  stuckInterval: v.optional(v.string()),
  /** How often what is still shown was cleared in vain, and when that was last (Unix milliseconds). */
  clearTries: v.optional(v.number()),
  clearTriedMs: v.optional(v.number()),
});
export type CommandState = v.InferOutput<typeof FileSchema>;

export interface CommandStore {
  read(): CommandState;
  write(state: Omit<CommandState, 'version'>): void;
  /** Puts an unreadable file aside, so that the next command can be accepted; returns its new path. */
  setAside(): string;
}

export function createCommandStore(path: string): CommandStore {
  const format = { schema: FileSchema, limitBytes: LARGEST_COMMAND_FILE_BYTES, mode: 0o600 };
  const file = storedFile(path, format);
  return {
    read() {
      try {
        return file.read() ?? { version: 1 };
      } catch (error) {
        if (error instanceof GweError && error.code === 'JOURNAL_UNREADABLE') throw error;
        // Also if the disk cannot read it: the next command must be heard in any case.
        throw wrapError(error, 'JOURNAL_UNREADABLE', `cannot read '${path}'`);
      }
    },
    write(state) {
      const isEmpty = [state.current, state.stuckDigest, state.stuckInterval].every(
        (part) => part === undefined,
      );
      if (isEmpty) file.remove();
      else file.write({ version: 1, ...state });
    },
    setAside: () => file.setAside(),
  };
}

/** Nothing is known of a file that is damaged and cannot be moved aside on this disk. */
export function readCommands(commands: Pick<CommandStore, 'read'>): CommandState {
  try {
    return commands.read();
  } catch (error) {
    if (error instanceof GweError && error.code === 'JOURNAL_UNREADABLE') return { version: 1 };
    throw error;
  }
}

/** The id of the transaction of one entry. */
export function entryId(command: Pick<Command, 'id'>, index: number): string {
  return `${command.id}-${String(index).padStart(2, '0')}`;
}

/** The last entry is done: forget the command, or remember it if the platform still shows it. */
export function finishCommand(commands: CommandStore, command: Command): void {
  const { stuckInterval, clearTries, clearTriedMs } = commands.read();
  const stuck = { stuckInterval, clearTries, clearTriedMs };
  if (command.clear === 'shown') commands.write(stuck);
  else {
    const isClearDue = command.clear === 'pending' ? true : undefined;
    commands.write({ ...stuck, stuckDigest: command.digest, isClearDue });
  }
}

export function digestText(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
