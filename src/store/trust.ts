import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { quote } from '../artifact/faults.ts';
import { KEY_POWERS, type TrustedKey, vouchesForArtifacts } from '../artifact/manifest/policy.ts';
import { keyId, readPublicKey } from '../artifact/manifest/signature.ts';
import { APP_NAME_PATTERN, KEYS_APP_NAME } from '../artifact/name.ts';
import {
  copiesOf,
  type EditedFormat,
  keepEdited,
  readEdited,
  removeCopy,
  removeEdited,
  writeEdited,
} from '../base/edited-file.ts';
import { describeError, GweError } from '../base/errors.ts';
import { ensureDirectory, listDirectory, readFileBounded, readTextBounded } from '../base/fs.ts';
import { type StoredFile, storedFile } from '../base/stored-file.ts';

/** Whom this gateway trusts (etc/gwe/keys.d), and the releases that it has seen. */

const KEY_SUFFIX = '.pub';
/** Names that somebody gives to a key, or to a copy of one: `alice.pem`, `alice.pub.bak`, `alice.pub~`. */
const KEY_LIKE_NAME = /^[^.].*\.(pub|pem|key|der|crt|cer)([.~_-].*)?$/i;
/** Marks a key that vouches only for going back. gwe up to 2.0.0 reads no such file, and so does not trust the key. */
const RETIRED_SUFFIX = '.retired';
export const LARGEST_KEY_BYTES = 64 * 1024;
const LARGEST_RELEASES_BYTES = 1024 * 1024;

const KEY_FORMAT: EditedFormat = { limitBytes: LARGEST_KEY_BYTES, mode: 0o644, isSound: isKey };

function isKey(text: string): boolean {
  try {
    decodeTrustedKey(text, '');
    return true;
  } catch {
    return false;
  }
}

export interface KeyRing {
  /** Names of all key files, those that cannot be used included. */
  files: readonly string[];
  keys: readonly TrustedKey[];
  /** What vouches for nothing but going back to a version that was accepted here while the key was trusted. */
  retired: readonly TrustedKey[];
  /** One sentence for each file that is not a usable key. It vouches for nothing, and still counts as a key. */
  problems: readonly string[];
}

/** Reads the keys of `directory`. Throws STORE_IO if it is there and cannot be read. */
export function readKeyRing(directory: string): KeyRing {
  const files = listDirectory(directory).filter((name) => isForKey(directory, name));
  return decodeKeyRing(files, (name) => readEdited(join(directory, name), LARGEST_KEY_BYTES) ?? '');
}

/** The keys of files that are called like this. What `read` throws is a problem of its file. */
export function decodeKeyRing(files: readonly string[], read: (name: string) => string): KeyRing {
  const keys: TrustedKey[] = [];
  const retired: TrustedKey[] = [];
  const problems: string[] = [];
  for (const name of files) {
    try {
      if (!isKeyFile(name)) throw strayKey(name);
      const isRetired = name.endsWith(RETIRED_SUFFIX);
      (isRetired ? retired : keys).push(decodeTrustedKey(read(name), keyName(name)));
    } catch (error) {
      problems.push(describeError(error));
    }
  }
  return withoutRetired({ files, keys, retired, problems });
}

export function isKeyFile(file: string): boolean {
  return file.endsWith(KEY_SUFFIX) || file.endsWith(RETIRED_SUFFIX);
}

/** The name of the key in a file called `alice.pub`, `alice.pem` or `alice.retired`. */
export function keyName(file: string): string {
  return file.replace(/\.(pub|pem|retired)$/, '');
}

export function keyFile(name: string, isRetired = false): string {
  return `${name}${isRetired ? RETIRED_SUFFIX : KEY_SUFFIX}`;
}

/** Where two files hold the same key, the one that allows less counts: the other may have been forgotten. */
function withoutRetired(ring: KeyRing): KeyRing {
  const isRetired = ({ id }: TrustedKey): boolean => ring.retired.some((key) => key.id === id);
  const problems = ring.keys
    .filter(isRetired)
    .map(({ name, id }) => `key ${quote(name)} (${id}) is also present as retired, and counts as retired`);
  return {
    ...ring,
    keys: ring.keys.filter((key) => !isRetired(key)),
    problems: [...ring.problems, ...problems],
  };
}

/** Whether the file was put there as a key, by its name or its content; a note beside the keys was not. */
function isForKey(directory: string, name: string): boolean {
  if (isKeyFile(name)) return true;
  const path = join(directory, name);
  if (name.startsWith('.') || lstatSync(path, { throwIfNoEntry: false })?.isDirectory() !== false)
    return false;
  return KEY_LIKE_NAME.test(name) || holdsKey(path);
}

function holdsKey(path: string): boolean {
  try {
    return /-----BEGIN [A-Z0-9 ]*KEY-----/.test(readTextBounded(path, LARGEST_KEY_BYTES) ?? '');
  } catch (error) {
    // Too large for a key, or no file: what it is, nobody took it for one.
    if (error instanceof GweError) return false;
    throw error;
  }
}

function strayKey(name: string): GweError {
  return new GweError(
    'USAGE_BAD_VALUE',
    `cannot use key ${quote(name)}: its name does not end with ${KEY_SUFFIX}, expected NAME${KEY_SUFFIX} (or NAME${RETIRED_SUFFIX}); ` +
      'rename or remove it (until then it counts as a key that vouches for nothing)',
  );
}

/** A sentence if there are fewer keys than have to sign. `needed` is require_signatures. */
export function lackOfKeys({ files, keys }: KeyRing, needed: number): string | undefined {
  if (files.length === 0) return undefined;
  const many = (count: number): string => (count === 1 ? '1 key' : `${count} keys`);
  const vouching = keys.filter(vouchesForArtifacts);
  const lack = `require_signatures is ${needed}, and this gateway trusts`;
  const kind = vouching.length < keys.length ? ' for artifacts' : '';
  if (vouching.length < needed)
    return `${lack} ${many(vouching.length)}${kind}: nothing can be installed or rolled back`;
  const general = vouching.filter(({ apps }) => apps === undefined || apps.includes(KEYS_APP_NAME)).length;
  if (general >= needed) return undefined;
  return `${lack} ${many(general)} for all apps: it cannot accept a new set of keys (${KEYS_APP_NAME})`;
}

/**
 * A key file: the PEM text, in front of which a line `apps: a, b` may limit the key to these apps, one `powers: ...`
 * says what it may do, one `products: p, q` where it may command, and lines that begin with `#` say what people want to
 * know. Throws USAGE_BAD_VALUE: a line that means nothing, or stands behind the PEM text, may be a limit that somebody
 * meant.
 */
export function decodeTrustedKey(text: string, name: string): TrustedKey {
  const publicKey = readPublicKey(text, name);
  const lines = saidIn(text.slice(0, text.indexOf('-----BEGIN')));
  const tail = saidIn(text.replace(/^[\s\S]*?-----END [A-Z0-9 ]+-----/, ''));
  const apps = listOf('apps', lines);
  const powers = listOf('powers', lines)?.map((power) => KEY_POWERS.find((known) => known === power));
  const products = listOf('products', lines);
  const known = [apps, powers, products].filter((list) => list !== undefined).length;
  const isGood = lines.length === known && apps?.every((app) => APP_NAME_PATTERN.test(app)) !== false;
  if (!isGood || powers?.includes(undefined) === true || products?.includes('') === true)
    throw badLines(name, `${saidShort(lines)} in front of it`);
  if (tail.length > 0) throw badLines(name, `${saidShort(tail)} behind it`);
  const key = {
    id: keyId(publicKey),
    publicKey,
    name,
    ...(apps === undefined ? {} : { apps }),
    ...(products === undefined ? {} : { products }),
    ...(powers === undefined ? {} : { powers: powers.filter((power) => power !== undefined) }),
  };
  // Whoever wrote it meant to limit the key, which vouches for artifacts on gateways of all products.
  if (products !== undefined && vouchesForArtifacts(key))
    throw badLines(name, "'products:' of a key that vouches for artifacts");
  return key;
}

/** What the line `name: a, b` lists, if it is there. */
function listOf(name: string, lines: readonly string[]): string[] | undefined {
  const line = lines.find((each) => each.startsWith(`${name}:`));
  return line
    ?.slice(name.length + 1)
    .split(',')
    .map((each) => each.trim());
}

/** The lines that are neither empty nor remarks. */
function saidIn(text: string): string[] {
  const lines = text.split(/\r\n|\n|\r/).map((line) => line.trim());
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

function saidShort(lines: readonly string[]): string {
  return quote(lines.join(' ').slice(0, 80));
}

function badLines(name: string, found: string): GweError {
  return new GweError(
    'USAGE_BAD_VALUE',
    `cannot use key ${quote(name)}: ${found}, expected one line 'apps: NAME, NAME' in front of it, one 'powers: ...' (of ${KEY_POWERS.join(', ')}), ` +
      "one 'products: NAME, NAME' of a key for commands or releases, or nothing",
  );
}

/**
 * Makes `to` hold the key files of `from` and no others: first those that are new, then none that is not in the set, so
 * that at no moment there is none. Idempotent.
 */
export function replaceKeys(from: string, to: string): void {
  const names = readKeyRing(from).files;
  ensureDirectory(to);
  for (const name of names) {
    const bytes = readFileBounded(join(from, name), LARGEST_KEY_BYTES);
    if (bytes !== undefined) writeEdited(join(to, name), bytes.toString('utf8'), KEY_FORMAT);
  }
  for (const name of readKeyRing(to).files) if (!names.includes(name)) removeEdited(join(to, name));
}

/**
 * Makes the last good copies of the keys in `directory`, and brings back a file that a power cut has torn; a sentence
 * for each. The copy of a key that is gone goes too: it was revoked. Writes nothing where all is well.
 */
export function keepKeys(directory: string): string[] {
  const names = listDirectory(directory);
  for (const name of listDirectory(copiesOf(directory)))
    if (!names.includes(name)) removeCopy(join(directory, name));
  return names
    .filter(isKeyFile)
    .map((name) => keepEdited(join(directory, name), KEY_FORMAT))
    .filter((sentence) => sentence !== undefined);
}

const ReleasesSchema = v.object({
  version: v.literal(1),
  releases: v.record(v.string(), v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
});

export interface ReleaseStore {
  /** The highest release of `app` that was accepted; `undefined`: none had a number. Throws STORE_IO. */
  highest(app: string): number | undefined;
  /** Keeps `release` if it is the highest. */
  saw(app: string, release: number): void;
}

type Releases = v.InferOutput<typeof ReleasesSchema>;

/** The higher release of both copies counts. */
export function releaseFile(path: string): StoredFile<Releases> {
  const merge = (file: Releases, copy: Releases): Releases => {
    const highest = new Map(Object.entries(file.releases));
    for (const [app, release] of Object.entries(copy.releases))
      highest.set(app, Math.max(release, highest.get(app) ?? 0));
    return { version: 1, releases: Object.fromEntries(highest) };
  };
  return storedFile(path, {
    schema: ReleasesSchema,
    limitBytes: LARGEST_RELEASES_BYTES,
    copy: { merge },
  });
}

/** A damaged file is not taken for an empty one: that would forget what protects from downgrades. */
export function createReleaseStore(path: string): ReleaseStore {
  const file = releaseFile(path);
  const read = (): Record<string, number> => {
    try {
      return file.read()?.releases ?? {};
    } catch (error) {
      if (!(error instanceof GweError) || error.code !== 'JOURNAL_UNREADABLE') throw error;
      throw new GweError(
        'STORE_IO',
        `cannot read '${path}' nor its copy: damaged, expected the releases seen; remove both to start afresh`,
        { cause: error },
      );
    }
  };
  return {
    highest: (app) => new Map(Object.entries(read())).get(app),
    saw(app, release) {
      const releases = new Map(Object.entries(read()));
      if ((releases.get(app) ?? -1) >= release) return;
      releases.set(app, release);
      file.write({ version: 1, releases: Object.fromEntries(releases) });
    },
  };
}
