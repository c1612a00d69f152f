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

const FileSchema = v.object({ version: v.literal(1), signers: v.record(v.string(), LastSchema) });
type Counters = v.InferOutput<typeof FileSchema>;

interface CommandCounters {
  /** By id of the signer's key; `undefined` where there are none, or none that can be read. Throws STORE_IO. */
  read(): ReadonlyMap<string, LastCommand> | undefined;
  /** Never lowers a counter; writes nothing where it says the same already. Throws STORE_NO_SPACE, STORE_IO. */
  note(signer: string, last: LastCommand): void;
}

/** The higher counter of both copies counts. */
export function countersFile(path: string): StoredFile<Counters> {
  const merge = (file: Counters, copy: Counters): Counters => {
    const highest = new Map(Object.entries(file.signers));
    for (const [signer, last] of Object.entries(copy.signers))
      if (last.counter > (highest.get(signer)?.counter ?? -1)) highest.set(signer, last);
    return { version: 1, signers: Object.fromEntries(highest) };
  };
  return storedFile(path, { schema: FileSchema, limitBytes: LARGEST_BYTES, copy: { merge } });
}

export function createCommandCounters(path: string): CommandCounters {
  const file = countersFile(path);
  const read = (): ReadonlyMap<string, LastCommand> | undefined => {
    try {
      const found = file.read();
      return found === undefined ? undefined : new Map(Object.entries(found.signers));
    } catch (error) {
      if (error instanceof GweError && error.code === 'JOURNAL_UNREADABLE') return undefined;
      throw error;
    }
  };
  return {
    read,
    note(signer, last) {
      const signers = new Map(read());
      const before = signers.get(signer);
      if (before !== undefined && before.counter > last.counter) return;
      const isSame = before?.counter === last.counter && before.digest === last.digest;
      if (isSame && before.state === last.state) return;
      signers.set(signer, last);
      file.write({ version: 1, signers: Object.fromEntries(signers) });
    },
  };
}
