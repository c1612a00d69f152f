/**
 * The keys that this gateway trusts, and what was decided about them on the gateway itself: a key that was removed here
 * comes back by nothing but `gwe keys add`, whoever puts its file there.
 */
import * as v from 'valibot';
import { KEYS_APP_NAME } from '../artifact/name.ts';
import { GweError } from '../base/errors.ts';
import { type StoredFile, storedFile } from '../base/stored-file.ts';
import type { Layout } from './layout.ts';
import { createReleaseStore, type KeyRing, readKeyRing } from './trust.ts';

const LARGEST_BYTES = 1024 * 1024;
/** The oldest are forgotten beyond that. */
const MOST_REMOVED = 4096;

const DecisionsSchema = v.object({
  version: v.literal(1),
  removed: v.array(v.object({ id: v.string(), name: v.string() })),
  /** The lowest release of a set of keys that may be accepted since the last change here. */
  lowestSet: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
});

type Decisions = v.InferOutput<typeof DecisionsSchema>;
type KeyDecisions = Omit<Decisions, 'version'>;
type NamedKey = KeyDecisions['removed'][number];
type KeyPlaces = Pick<Layout, 'keysDirectory' | 'keyDecisions' | 'releases'>;

/** What either of both copies says to have been removed, and the higher release. */
export function decisionsFile(path: string): StoredFile<Decisions> {
  const merge = (file: Decisions, copy: Decisions): Decisions => {
    const more = copy.removed.filter(({ id }) => file.removed.every((key) => key.id !== id));
    const lowest = [file.lowestSet, copy.lowestSet].filter((release) => release !== undefined);
    return {
      version: 1,
      removed: [...file.removed, ...more].slice(-MOST_REMOVED),
      ...(lowest.length === 0 ? {} : { lowestSet: Math.max(...lowest) }),
    };
  };
  return storedFile(path, { schema: DecisionsSchema, limitBytes: LARGEST_BYTES, copy: { merge } });
}

/** Throws STORE_IO for a damaged file: taken for an empty one, it would bring removed keys back. */
export function readKeyDecisions({ keyDecisions: path }: Pick<KeyPlaces, 'keyDecisions'>): KeyDecisions {
  try {
    return decisionsFile(path).read() ?? { removed: [] };
  } catch (error) {
    if (!(error instanceof GweError) || error.code !== 'JOURNAL_UNREADABLE') throw error;
    throw new GweError(
      'STORE_IO',
      `cannot read '${path}' nor its copy: damaged, expected the keys removed here; remove both to start afresh`,
      { cause: error },
    );
  }
}

/** The keys of keys.d without those that were removed here. Throws STORE_IO. */
export function readGatewayKeys(layout: Pick<KeyPlaces, 'keysDirectory' | 'keyDecisions'>): KeyRing {
  const ring = readKeyRing(layout.keysDirectory);
  const removed = new Set(readKeyDecisions(layout).removed.map(({ id }) => id));
  const back = [...ring.keys, ...ring.retired].filter(({ id }) => removed.has(id));
  const problems = back.map(
    ({ name, id }) =>
      `cannot use key '${name}': ${id} was removed on this gateway, expected 'gwe keys add' to trust it again`,
  );
  return {
    files: ring.files,
    keys: ring.keys.filter(({ id }) => !removed.has(id)),
    retired: ring.retired.filter(({ id }) => !removed.has(id)),
    problems: [...ring.problems, ...problems],
  };
}

/** To be called before the key's file is removed; without a key for a file that held none. */
export function decideRemoved(layout: KeyPlaces, key?: NamedKey): void {
  change(layout, (removed) =>
    key === undefined
      ? removed
      : [...removed.filter(({ id }) => id !== key.id), { id: key.id, name: key.name }].slice(-MOST_REMOVED),
  );
}

/** To be called before a key's file gets the name of a retired one: no earlier set of keys makes it trusted again. */
export function decideRetired(layout: KeyPlaces): void {
  change(layout, (removed) => removed);
}

/** To be called before the key's file is written. */
export function decideTrusted(layout: KeyPlaces, { id: trusted }: Pick<NamedKey, 'id'>): void {
  change(layout, (removed) => removed.filter(({ id }) => id !== trusted));
}

/** No set of keys that was made before, as far as its release tells, undoes what is decided now. */
function change(layout: KeyPlaces, decide: (removed: NamedKey[]) => NamedKey[]): void {
  const before = readKeyDecisions(layout);
  const seen = createReleaseStore(layout.releases).highest(KEYS_APP_NAME);
  const next = seen === undefined ? before.lowestSet : Math.max(before.lowestSet ?? 0, seen + 1);
  const lowestSet = next === undefined ? {} : { lowestSet: Math.min(next, Number.MAX_SAFE_INTEGER) };
  decisionsFile(layout.keyDecisions).write({
    version: 1,
    removed: decide(before.removed),
    ...lowestSet,
  });
}
