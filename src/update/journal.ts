/** The durable record of the one update that is under way: written before each effect, read at every start. */
import { dirname } from 'node:path';
import * as v from 'valibot';
import { ContentFactsSchema, VersionRecordSchema } from '../artifact/record.ts';
import { GweError } from '../base/errors.ts';
import { ensureDirectory, readTextBounded, removeFileDurable, writeFileDurable } from '../base/fs.ts';
import { FINAL_STATES, WORKING_STATES } from './machine.ts';

const JOURNAL_VERSION = 1;
const LARGEST_JOURNAL_BYTES = 1024 * 1024;

const FailureSchema = v.object({
  state: v.string(),
  code: v.string(),
  message: v.string(),
  /** The parts of the message, one for each error behind it; absent where there is one. */
  causes: v.optional(v.array(v.string())),
});
export type Failure = v.InferOutput<typeof FailureSchema>;

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
  /** The one top-level directory of the tarball, or empty. */
  rootPrefix: v.optional(v.string()),
  content: v.optional(ContentFactsSchema),
  previous: v.optional(VersionRecordSchema),
  /** install.sh as last started: ended before anything else when gwe died in the middle. */
  script: v.optional(v.object({ pid: v.number(), startTicks: v.string(), bootId: v.string() })),
  exitCode: v.optional(v.number()),
  output: v.optional(v.string()),
  notes: v.array(v.string()),
  failure: v.optional(FailureSchema),
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

const JournalSchema = v.object({ version: v.literal(JOURNAL_VERSION), transaction: TransactionSchema });

export interface Journal {
  /** The last transaction, finished or not. Throws JOURNAL_UNREADABLE rather than guess. */
  read(): Transaction | undefined;
  write(transaction: Transaction): void;
  /** Puts an unreadable journal aside so that the next update can begin; returns its new path. */
  setAside(): string;
}

export function createJournal(path: string): Journal {
  return {
    read() {
      const text = readTextBounded(path, LARGEST_JOURNAL_BYTES);
      return text === undefined ? undefined : decodeJournal(path, text);
    },
    write(transaction) {
      ensureDirectory(dirname(path));
      writeFileDurable(path, `${JSON.stringify({ version: JOURNAL_VERSION, transaction })}\n`, 0o600);
    },
    setAside() {
      const text = readTextBounded(path, LARGEST_JOURNAL_BYTES * 16) ?? '';
      const aside = `${path}.unreadable`;
      writeFileDurable(aside, text, 0o600);
      removeFileDurable(path);
      return aside;
    },
  };
}

function decodeJournal(path: string, text: string): Transaction {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new GweError('JOURNAL_UNREADABLE', `cannot read journal '${path}': not JSON`, { cause: error });
  }
  const result = v.safeParse(JournalSchema, value);
  if (result.success) return result.output.transaction;
  const [issue] = result.issues;
  const where = v.getDotPath(issue) ?? 'it';
  throw new GweError('JOURNAL_UNREADABLE', `cannot read journal '${path}': ${where}: ${issue.message}`);
}
