/**
 * The versions of a product that belong together, as somebody has released them: signed, numbered, and with an end. A
 * gateway that trusts a key for such lists installs nothing else. Pure.
 */
import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { GweError } from '../../base/errors.ts';
import { formatFault, quote } from '../faults.ts';
import { APP_NAME_PATTERN, APP_VERSION_PATTERN } from '../name.ts';
import { decodeCanonical, renderCanonical } from './canonical-json.ts';
import type { Manifest } from './manifest.ts';
import type { TrustedKey } from './policy.ts';
import { isSignedBy, KEY_ID_TEXT, SIGNATURE_TEXT, type Signer, signedMessage } from './signature.ts';

/** Its content id. */
export const RELEASE_LIST_ID = 'gwe-releases';
export const MOST_LIST_BYTES = 256 * 1024;
const LIST_PURPOSE = 'gwe release list v1';
const MOST_APPS = 1024;
const MOST_VERSIONS = 64;
const MOST_SIGNATURES = 32;
const EXPECTED = 'product, release, issued, expires, apps';

const wholeNumber = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const VersionSchema = v.strictObject({
  version: v.pipe(v.string(), v.regex(APP_VERSION_PATTERN)),
  /** sha256 of the manifest. */
  digest: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  /** As `architectures` in a manifest: for gateways of this CPU alone. */
  target: v.optional(v.picklist(['x64', 'arm64', 'armv7l'])),
  /** That of its manifest. */
  release: v.optional(wholeNumber),
});
const ListSchema = v.strictObject({
  product: v.pipe(v.string(), v.minLength(1), v.maxLength(256)),
  /** Higher than that of every list before. */
  release: wholeNumber,
  /** Unix seconds. */
  issued: wholeNumber,
  expires: wholeNumber,
  apps: v.pipe(
    v.record(
      v.pipe(v.string(), v.regex(APP_NAME_PATTERN)),
      v.pipe(v.array(VersionSchema), v.maxLength(MOST_VERSIONS)),
    ),
    v.check((apps) => Object.keys(apps).length <= MOST_APPS),
  ),
});
export type ReleaseList = v.InferOutput<typeof ListSchema>;

const DocumentSchema = v.strictObject({
  format: v.literal(1),
  list: ListSchema,
  signatures: v.pipe(
    v.array(
      v.strictObject({
        keyid: v.pipe(v.string(), v.regex(KEY_ID_TEXT)),
        signature: v.pipe(v.string(), v.regex(SIGNATURE_TEXT)),
      }),
    ),
    v.maxLength(MOST_SIGNATURES),
  ),
});
type Signatures = v.InferOutput<typeof DocumentSchema>['signatures'];

export interface SignedList {
  list: ReleaseList;
  /** sha256 of the list without signatures, hex. */
  digest: string;
  signatures: Signatures;
}

/** Throws ARTIFACT_FORMAT for bytes that are no release list: canonical, each signer once. */
export function decodeReleaseList(bytes: Buffer): SignedList {
  if (bytes.length > MOST_LIST_BYTES)
    throw formatFault(`a release list of ${bytes.length} bytes`, `at most ${MOST_LIST_BYTES}`);
  const decoded = v.safeParse(DocumentSchema, decodeCanonical(bytes, RELEASE_LIST_ID));
  if (!decoded.success) {
    const where = v.getDotPath(decoded.issues[0]) ?? 'form';
    throw formatFault(`a release list whose ${quote(where)} is wrong`, EXPECTED);
  }
  const { list, signatures } = decoded.output;
  if (!signatures.every(({ keyid }, at) => at === 0 || (signatures[at - 1]?.keyid ?? '') < keyid))
    throw formatFault('a release list that names a signer twice or is not sorted', 'each once');
  return { list, digest: digestOf(list), signatures };
}

function digestOf(list: ReleaseList): string {
  return createHash('sha256').update(renderCanonical(list)).digest('hex');
}

/** The bytes of a list that nobody has signed. Throws ARTIFACT_FORMAT. */
export function renderReleaseList(found: unknown, signatures: Signatures = []): Buffer {
  const decoded = v.safeParse(ListSchema, found);
  if (decoded.success) return Buffer.from(renderCanonical({ format: 1, list: decoded.output, signatures }));
  const where = v.getDotPath(decoded.issues[0]) ?? 'form';
  throw formatFault(`a release list whose ${quote(where)} is wrong`, EXPECTED);
}

/** The bytes of the list with a signature more; an earlier one of the same key is replaced. */
export async function signReleaseList(
  { list, digest, signatures }: SignedList,
  signer: Signer,
): Promise<Buffer> {
  const bytes = await signer.sign(signedMessage(digest, LIST_PURPOSE));
  const one = { keyid: signer.keyId, signature: Buffer.from(bytes).toString('base64') };
  const others = signatures.filter(({ keyid }) => keyid !== signer.keyId);
  const sorted = [...others, one].sort((a, b) => (a.keyid < b.keyid ? -1 : 1));
  return renderReleaseList(list, sorted);
}

/** Of the keys that may list releases for this product. */
export function listKeys(keys: readonly TrustedKey[], product: string): TrustedKey[] {
  return keys.filter(
    ({ powers, products }) =>
      powers?.includes('releases') === true && (products === undefined || products.includes(product)),
  );
}

/** Why the list is not one for this product by enough of those who may; `undefined` if it is. */
export function listRefusal(
  { list, digest, signatures }: SignedList,
  product: string,
  { keys, needed }: { keys: readonly TrustedKey[]; needed: number },
): string | undefined {
  if (list.product !== product) return `it is of product ${quote(list.product)}, expected ${quote(product)}`;
  const may = listKeys(keys, product);
  const good = signatures.filter((signature) =>
    may.some(
      ({ id, publicKey }) => id === signature.keyid && isSignedBy(publicKey, digest, signature, LIST_PURPOSE),
    ),
  );
  if (good.length >= needed) return undefined;
  return `${good.length} of the keys with 'powers: releases' have signed it, expected ${needed}`;
}

interface Listed {
  manifest: Pick<Manifest, 'name' | 'version' | 'release'>;
  /** Of the manifest. */
  digest: string;
}

/** Whether the list has this very artifact, for this CPU. */
export function isListed(list: ReleaseList, { manifest, digest }: Listed, architecture: string): boolean {
  const { name, version, release } = manifest;
  const apps = new Map(Object.entries(list.apps));
  return (apps.get(name) ?? []).some(
    (one) =>
      one.version === version &&
      one.digest === digest &&
      (one.target === undefined || one.target === architecture) &&
      (one.release === undefined || one.release === release),
  );
}

/** Throws ARTIFACT_UNLISTED unless the list has this very artifact, for this CPU. */
export function assertListed(list: ReleaseList, listed: Listed, architecture: string): void {
  if (isListed(list, listed, architecture)) return;
  const { name, version } = listed.manifest;
  throw new GweError(
    'ARTIFACT_UNLISTED',
    `cannot install '${name}' ${version} (${listed.digest.slice(0, 8)}): release list ${list.release} does not name it, expected a version that it names`,
  );
}
