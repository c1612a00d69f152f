/**
 * Updates that are fetched, checked and unpacked, and installed later: when their window opens, or when all of their
 * command are there (src/agent/README.md, "Fetched now, installed later"). A parked update holds neither the journal nor
 * the lock, so others go on beside it. The file is of one command; another takes its place.
 */
import * as v from 'valibot';
import { storedFile } from '../../base/stored-file.ts';
import type { Layout } from '../../store/layout.ts';
import { type Staged, StagedSchema, type Transaction, TransactionSchema } from '../../update/journal.ts';

const LARGEST_PARKED_BYTES = 4 * 1024 * 1024;

const FileSchema = v.object({
  version: v.literal(1),
  /** By the id of their transactions. */
  staged: v.record(v.string(), StagedSchema),
  /** The apps of a `together` command that have been installed, to be taken back if another one fails. */
  accepted: v.record(v.string(), TransactionSchema),
  takenBack: v.array(v.string()),
});
type ParkedFile = v.InferOutput<typeof FileSchema>;

const NOTHING: ParkedFile = { version: 1, staged: {}, accepted: {}, takenBack: [] };

export interface Parked {
  staged(id: string): Staged | undefined;
  /** What is kept on the disk for them. */
  all(): Staged[];
  /** Idempotent, as all that follow. */
  park(id: string, staged: Staged): void;
  accepted(id: string): Transaction | undefined;
  accept(transaction: Transaction): void;
  isTakenBack(id: string): boolean;
  noteTakenBack(id: string): void;
  /** It has ended, or is wanted no more. */
  forget(id: string): void;
  clear(): void;
}

/** A file that cannot be read holds nothing: what was fetched is fetched again. */
export function createParked(layout: Pick<Layout, 'parked'>): Parked {
  const format = { schema: FileSchema, limitBytes: LARGEST_PARKED_BYTES, mode: 0o600, copy: {} };
  const file = storedFile(layout.parked, format);
  const read = (): ParkedFile => file.readOr(undefined) ?? NOTHING;
  const write = (changes: Partial<ParkedFile>): void => file.write({ ...read(), ...changes });
  return {
    staged: (id) => read().staged[id],
    all: () => Object.values(read().staged),
    park: (id, staged) => write({ staged: { ...read().staged, [id]: staged } }),
    accepted: (id) => read().accepted[id],
    accept({ output: _output, ...kept }) {
      write({ accepted: { ...read().accepted, [kept.id]: kept } });
    },
    isTakenBack: (id) => read().takenBack.includes(id),
    noteTakenBack(id) {
      if (!read().takenBack.includes(id)) write({ takenBack: [...read().takenBack, id] });
    },
    forget(id) {
      const { [id]: gone, ...staged } = read().staged;
      if (gone !== undefined) write({ staged });
    },
    clear() {
      if (JSON.stringify(read()) !== JSON.stringify(NOTHING)) file.remove();
    },
  };
}
