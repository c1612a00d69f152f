/** Whom this gateway trusts (etc/gwe/keys.d/*.pub), and the releases that it has seen. */
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { quote } from '../artifact/faults.ts';
import { APP_NAME_PATTERN, KEYS_APP_NAME } from '../artifact/name.ts';
import type { TrustedKey } from '../artifact/policy.ts';
import { keyId, readPublicKey } from '../artifact/signature.ts';
import { describeError, GweError } from '../base/errors.ts';
import {
  ensureDirectory,
  listDirectory,
  readFileBounded,
  readTextBounded,
  removeFileDurable,
  writeFileDurable,
} from '../base/fs.ts';

const KEY_SUFFIX = '.pub';
const LARGEST_KEY_BYTES = 64 * 1024;
const LARGEST_RELEASES_BYTES = 1024 * 1024;

export interface KeyRing {
  /** Names of all key files, those that cannot be used included. */
  files: readonly string[];
  keys: readonly TrustedKey[];
  /** One sentence for each file that is not a usable key. It vouches for nothing, and still counts as a key. */
  problems: readonly string[];
}

/** Reads the keys of `directory`. Throws STORE_IO if it is there and cannot be read. */
export function readKeyRing(directory: string): KeyRing {
  const files = listDirectory(directory).filter((name) => name.endsWith(KEY_SUFFIX));
  const keys: TrustedKey[] = [];
  const problems: string[] = [];
  for (const name of files) {
    try {
      const text = readTextBounded(join(directory, name), LARGEST_KEY_BYTES) ?? '';
      keys.push(decodeTrustedKey(text, name.slice(0, -KEY_SUFFIX.length)));
    } catch (error) {
      problems.push(describeError(error));
    }
  }
  return { files, keys, problems };
}

/** A sentence if there are fewer keys than have to sign. `needed` is require_signatures. */
export function lackOfKeys({ files, keys }: KeyRing, needed: number): string | undefined {
  if (files.length === 0) return undefined;
  const many = (count: number): string => (count === 1 ? '1 key' : `${count} keys`);
  const lack = `require_signatures is ${needed}, and this gateway trusts`;
  if (keys.length < needed) return `${lack} ${many(keys.length)}: nothing can be installed or gone back to`;
  const general = keys.filter(({ apps }) => apps === undefined || apps.includes(KEYS_APP_NAME)).length;
  if (general >= needed) return undefined;
  return `${lack} ${many(general)} for all apps: it can take over no new set of keys (${KEYS_APP_NAME})`;
}

/**
 * A key file: the PEM text, in front of which a line `apps: a, b` may limit the key to these apps, and lines that begin
 * with `#` say what people want to know. Throws USAGE_BAD_VALUE: a line that means nothing may be a misspelt limit.
 */
export function decodeTrustedKey(text: string, name: string): TrustedKey {
  const publicKey = readPublicKey(text, name);
  const head = text.slice(0, text.indexOf('-----BEGIN')).split('\n');
  const lines = head.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'));
  const limits = lines.map((line) => /^apps:(.*)$/.exec(line)?.[1]);
  const apps = limits[0]?.split(',').map((app) => app.trim());
  const isGood = limits.length <= 1 && limits.every((limit) => limit !== undefined);
  if (!isGood || apps?.some((app) => !APP_NAME_PATTERN.test(app)) === true) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `cannot use key ${quote(name)}: ${quote(lines.join(' ').slice(0, 80))} in front of it, expected one line 'apps: NAME, NAME' or nothing`,
    );
  }
  return { id: keyId(publicKey), publicKey, name, ...(apps === undefined ? {} : { apps }) };
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
    if (bytes !== undefined) writeFileDurable(join(to, name), bytes);
  }
  for (const name of readKeyRing(to).files) if (!names.includes(name)) removeFileDurable(join(to, name));
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

/** A damaged file is not taken for an empty one: that would forget what protects from downgrades. */
export function createReleaseStore(path: string): ReleaseStore {
  const read = (): Record<string, number> => {
    const text = readTextBounded(path, LARGEST_RELEASES_BYTES);
    if (text === undefined) return {};
    try {
      return v.parse(ReleasesSchema, JSON.parse(text)).releases;
    } catch (error) {
      throw new GweError(
        'STORE_IO',
        `cannot read '${path}': it is damaged, expected the releases seen; remove it to begin anew`,
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
      ensureDirectory(dirname(path));
      const file = { version: 1, releases: Object.fromEntries(releases) };
      writeFileDurable(path, `${JSON.stringify(file, undefined, 1)}\n`);
    },
  };
}
