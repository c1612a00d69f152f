import * as v from 'valibot';
import { ContentFactsSchema, VersionRecordSchema } from '../artifact/record.ts';
import { storedFile } from '../base/stored-file.ts';
import { FINAL_STATES, WORKING_STATES } from './state-machine.ts';

/** The durable record of the one update that is under way: written before each effect, read at every start. */

const JOURNAL_VERSION = 1;
const LARGEST_JOURNAL_BYTES = 1024 * 1024;

const FailureSchema = v.object({
  state: v.string(),
  code: v.string(),
  message: v.string(),
  /** The parts of the message, one for each error behind it; absent where there is one. */
  causes: v.optional(v.array(v.string())),
  /** What a script or program printed last. It may be a secret: not for the log, nor for files that others may read. */
  said: v.optional(v.string()),
});
export type Failure = v.InferOutput<typeof FailureSchema>;

/** All of it, for whoever may read what a program printed. */
export function wholeReason({ message, said }: Failure): string {
  return said === undefined ? message : `${message}; ${said}`;
}

const ScriptRecordSchema = v.object({
  /** Leader of the session that gwe made for it. */
  pid: v.number(),
  startTicks: v.string(),
  bootId: v.string(),
  /** What it is run for; gwe up to 2.0 wrote no more than the three above. */
  purpose: v.optional(v.string(), ''),
  /** Names its files. */
  id: v.optional(v.string(), ''),
  /** Takes its output. */
  collector: v.optional(v.object({ pid: v.number(), startTicks: v.string() })),
  startedUptimeMs: v.optional(v.number(), 0),
  /** How often it was begun for this purpose. */
  runs: v.optional(v.number(), 1),
});
export type ScriptRecord = v.InferOutput<typeof ScriptRecordSchema>;

/** What fetching and checking found out of a version that is installed later. */
export const StagedSchema = v.object({
  app: v.string(),
  version: v.string(),
  digest: v.string(),
  hasProgram: v.boolean(),
  content: v.optional(ContentFactsSchema),
  notes: v.array(v.string()),
  unpackNote: v.optional(v.string()),
  bytesFetched: v.number(),
  bytesFull: v.optional(v.number()),
  bytesReused: v.optional(v.number()),
  requests: v.optional(v.number()),
  fetchMs: v.optional(v.number()),
});
export type Staged = v.InferOutput<typeof StagedSchema>;

export const TransactionSchema = v.object({
  id: v.string(),
  app: v.string(),
  version: v.string(),
  contentId: v.string(),
  /** Where the tarball comes from: the content area, or a file on this gateway. */
  source: v.variant('kind', [
    v.object({ kind: v.literal('content') }),
    v.object({ kind: v.literal('file'), path: v.string() }),
    /** The version that is on the gateway as previous: the operator asked to go back to it. */
    v.object({ kind: v.literal('previous') }),
  ]),
  /** sha256 of the tarball that the command asked for. */
  expectedSha256: v.optional(v.string()),
  /** The command may use the reserve of the data budget. */
  urgent: v.optional(v.boolean()),
  /** What the writer of the command calls it. */
  command: v.optional(v.string()),
  /** It is fetched and checked only: `reason` says what it waits for then, `untilS` (Unix seconds) until when. */
  parks: v.optional(v.object({ reason: v.string(), untilS: v.optional(v.number()) })),
  /** It has been fetched and checked before. */
  staged: v.optional(StagedSchema),
  /** All apps of its command are installed, or none. */
  isTogether: v.optional(v.boolean()),
  /** sha256 of the command's text: a bad artifact stays refused until this changes. */
  commandDigest: v.string(),
  state: v.picklist([...WORKING_STATES, ...FINAL_STATES]),
  /** Journal writes so far: the loop breaker. */
  saves: v.number(),
  /** Starts of gwe that found the transaction in its present state. */
  resumes: v.number(),
  /** Check-ins at which the platform did not give the bytes. */
  deferrals: v.number(),
  startedAtMs: v.number(),
  digest: v.optional(v.string()),
  hasProgram: v.optional(v.boolean()),
  /** The program of the version before had been stopped by hand when the update began: it stays so. */
  wasStopped: v.optional(v.boolean()),
  /** Log directories of the program that were not there before install.sh. */
  missingLogs: v.optional(v.array(v.string())),
  /** The one top-level directory of the tarball, or empty. */
  rootPrefix: v.optional(v.string()),
  content: v.optional(ContentFactsSchema),
  previous: v.optional(VersionRecordSchema),
  /** The script that was last started and whose end is not in here yet: it outlives gwe. */
  script: v.optional(ScriptRecordSchema),
  /** Going back, install.sh of the version before has ended in this boot; with what it failed, if it did. */
  reinstalled: v.optional(v.object({ bootId: v.string(), failure: v.optional(v.string()) })),
  /** What the program had written into its version's directory is in the app's data directory now. */
  hasBroughtData: v.optional(v.boolean()),
  /** What of it is unpacked otherwise than it is stored, in words for the report. */
  unpackNote: v.optional(v.string()),
  exitCode: v.optional(v.number()),
  output: v.optional(v.string()),
  notes: v.array(v.string()),
  failure: v.optional(FailureSchema),
  /** An operator wanted it no more: that is the failure. */
  isCancelled: v.optional(v.boolean()),
  rollbackFailure: v.optional(FailureSchema),
  bytesFetched: v.number(),
  /** Bytes of the whole tarball. */
  bytesFull: v.optional(v.number()),
  /** Bytes of the tarball whose content was on the gateway already. */
  bytesReused: v.optional(v.number()),
  /** Requests for content. */
  requests: v.optional(v.number()),
  /** Milliseconds that fetching took, all tries together. */
  fetchMs: v.optional(v.number()),
  /** Why the tarball is fetched whole, where that is known before. */
  wholeReason: v.optional(v.string()),
  /** The staging directory holds the whole tree, checked and synced: there is no tarball. */
  isUnpacked: v.optional(v.boolean()),
  endedAtMs: v.optional(v.number()),
  /** The end has been recorded and handed to the reports; nothing is left to do. */
  closed: v.boolean(),
});
export type Transaction = v.InferOutput<typeof TransactionSchema>;
/** One whose bytes have been checked. */
export type CheckedTransaction = Transaction & { digest: string };

const JournalSchema = v.object({ version: v.literal(JOURNAL_VERSION), transaction: TransactionSchema });

export interface Journal {
  /** The last transaction, finished or not. Throws JOURNAL_UNREADABLE rather than guess. */
  read(): Transaction | undefined;
  write(transaction: Transaction): void;
  /** Puts an unreadable journal aside so that the next update can begin; returns its new path. */
  setAside(): string;
}

export function createJournal(path: string): Journal {
  const format = { schema: JournalSchema, limitBytes: LARGEST_JOURNAL_BYTES, mode: 0o600 };
  const file = storedFile(path, format);
  return {
    read: () => file.read()?.transaction,
    write: (transaction) => file.write({ version: JOURNAL_VERSION, transaction }),
    setAside: () => file.setAside(),
  };
}
