/** The last command of each signer that was carried out here, so that none is carried out again. */
import * as v from 'valibot';
import { GweError } from '../base/errors.ts';
import { type StoredFile, storedFile } from '../base/stored-file.ts';

const LARGEST_BYTES = 256 * 1024;

const LastSchema = v.object({
  /** The highest: Unix milliseconds at signing. */
  counter: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  /** Of what was signed. */
  digest: v.string(),
  /** `failed`: it may be tried again. */
  state: v.picklist(['open', 'done', 'failed']),
});
type LastCommand = v.InferOutput<typeof LastSchema>;

const FileSchema = v.object({
  version: v.literal(1),
  /** Unix milliseconds: what was signed before that may have been carried out here, and been forgotten. */
  begunMs: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
  signers: v.record(v.string(), LastSchema),
});
type Counters = v.InferOutput<typeof FileSchema>;

interface CommandCounters {
  /** By id of the signer's key; `undefined` where there are none, or none that can be read. Throws STORE_IO. */
  read(): ReadonlyMap<string, LastCommand> | undefined;
  /** When the counters began; 0 where that was not written down. Throws STORE_IO. */
  begunMs(): number;
  /**
   * Never lowers a counter; writes nothing where it says the same already. `nowMs`: when the counters begin, where
   * there are none. Throws STORE_NO_SPACE, STORE_IO.
   */
  note(signer: string, last: LastCommand, nowMs?: number): void;
}

/** The higher counter of both copies counts. */
export function countersFile(path: string): StoredFile<Counters> {
  const merge = (file: Counters, copy: Counters): Counters => {
    const highest = new Map(Object.entries(file.signers));
    for (const [signer, last] of Object.entries(copy.signers))
      if (last.counter > (highest.get(signer)?.counter ?? -1)) highest.set(signer, last);
    const begunMs = Math.max(file.begunMs ?? 0, copy.begunMs ?? 0);
    return { version: 1, begunMs, signers: Object.fromEntries(highest) };
  };
  return storedFile(path, { schema: FileSchema, limitBytes: LARGEST_BYTES, copy: { merge } });
}

export function createCommandCounters(path: string): CommandCounters {
  const file = countersFile(path);
  const readFile = (): Counters | undefined => {
    try {
      return file.read();
    } catch (error) {
      if (error instanceof GweError && error.code === 'JOURNAL_UNREADABLE') return undefined;
      throw error;
    }
  };
  return {
    read() {
      const found = readFile();
      return found === undefined ? undefined : new Map(Object.entries(found.signers));
    },
    begunMs: () => readFile()?.begunMs ?? 0,
    note(signer, last, nowMs = 0) {
      const found = readFile();
      const signers = new Map(Object.entries(found?.signers ?? {}));
      const before = signers.get(signer);
      if (before !== undefined && before.counter > last.counter) return;
      const isSame = before?.counter === last.counter && before.digest === last.digest;
      if (isSame && before.state === last.state) return;
      signers.set(signer, last);
      const begunMs = found === undefined ? nowMs : (found.begunMs ?? 0);
      file.write({ version: 1, begunMs, signers: Object.fromEntries(signers) });
    },
  };
}
