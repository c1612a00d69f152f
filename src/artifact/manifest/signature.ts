import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import * as v from 'valibot';
import { GweError } from '../../base/errors.ts';
import { formatFault, quote } from '../faults.ts';
import { decodeCanonical, renderCanonical } from './canonical-json.ts';
import { SIGNATURES_PATH } from './meta-files.ts';

/**
 * Ed25519 signatures of manifests, by keys in PEM files (PKCS#8 and SPKI) that openssl makes and reads as well.
 *
 * What is signed is not the manifest's bytes themselves but two lines with their sha256 (`signedMessage`): a smart card
 * takes 80 bytes where it may not take megabytes, and the first line keeps the signature from meaning anything else.
 */

const SIGNED_PURPOSE = 'gwe artifact manifest v1';
const MOST_SIGNATURES = 32;
const SIGNATURE_BYTES = 64;

/** 64 bytes in base64. */
export const SIGNATURE_TEXT = /^[A-Za-z0-9+/]{86}==$/;
/** What `keyId` gives. */
export const KEY_ID_TEXT = /^[0-9a-f]{32}$/;

const SignatureSchema = v.strictObject({
  /** `keyId` of the public key. */
  keyid: v.pipe(v.string(), v.regex(KEY_ID_TEXT, 'expected 32 hex digits')),
  /** 64 bytes, base64. */
  signature: v.pipe(v.string(), v.regex(SIGNATURE_TEXT, 'expected 64 bytes in base64')),
});
export type ArtifactSignature = v.InferOutput<typeof SignatureSchema>;

const SignaturesSchema = v.strictObject({
  format: v.literal(1),
  signatures: v.pipe(v.array(SignatureSchema), v.maxLength(MOST_SIGNATURES)),
});

/** Makes one signature, with its own key or through a program that has one. */
export interface Signer {
  keyId: string;
  /** The 64 bytes. */
  sign(message: Buffer): Promise<Buffer> | Buffer;
}

/** The bytes that a signature is over. `digest`: sha256 of the manifest's bytes, or of another document's, hex. */
export function signedMessage(digest: string, purpose: string = SIGNED_PURPOSE): Buffer {
  return Buffer.from(`${purpose}\n${digest}\n`);
}

/** The first 16 bytes of the sha256 of the key's SPKI DER, hex. */
export function keyId(publicKey: KeyObject): string {
  const der = publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(der).digest('hex').slice(0, 32);
}

export interface KeyPair {
  keyId: string;
  /** PEM texts. */
  privateKey: string;
  publicKey: string;
}

/** A new key; with a passphrase the private half is encrypted (PKCS#8, AES-256). */
export function generateKey(passphrase?: string): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const encryption = passphrase === undefined ? {} : { cipher: 'aes-256-cbc', passphrase };
  return {
    keyId: keyId(publicKey),
    privateKey: String(privateKey.export({ type: 'pkcs8', format: 'pem', ...encryption })),
    publicKey: String(publicKey.export({ type: 'spki', format: 'pem' })),
  };
}

/** Throws USAGE_BAD_VALUE, with `shown` as the name of the key. No part of the key is in the error. */
export function readPrivateKey(pem: string, passphrase: string | undefined, shown: string): KeyObject {
  const isEncrypted = pem.includes('ENCRYPTED');
  if (isEncrypted && passphrase === undefined) {
    throw badKey(shown, 'an encrypted key', '--passphrase-file with it');
  }
  const key = attempt(() => createPrivateKey(passphrase === undefined ? pem : { key: pem, passphrase }));
  if (key === undefined) {
    const found = isEncrypted ? 'a key that this passphrase does not open' : 'no private key';
    throw badKey(shown, found, 'a PEM file of gwe keygen or openssl genpkey -algorithm ed25519');
  }
  return requireEd25519(key, shown);
}

/** The public key in a PEM text; text around it is ignored, as by openssl. Throws USAGE_BAD_VALUE. */
export function readPublicKey(pem: string, shown: string): KeyObject {
  const expected = 'a PEM file of a public key (-----BEGIN PUBLIC KEY-----)';
  const blocks = pem.match(/-----BEGIN [A-Z0-9 ]+-----[\s\S]*?-----END [A-Z0-9 ]+-----/g) ?? [];
  const [block = ''] = blocks;
  if (blocks.length > 1) throw badKey(shown, `${blocks.length} PEM blocks`, 'one');
  if (!block.startsWith('-----BEGIN PUBLIC KEY-----')) throw badKey(shown, 'no public key', expected);
  const key = attempt(() => createPublicKey(block));
  if (key === undefined) throw badKey(shown, 'a damaged public key', expected);
  requireEd25519(key, shown);
  if (hasSmallOrder(key)) throw badKey(shown, 'a point of small order, for which anybody can sign', 'a key');
  return key;
}

/**
 * Every encoding of a point whose order divides 8, without the bit that tells x's sign, little-endian: 0, 1, the two
 * of order 8, p - 1, and 0 and 1 once more as p and p + 1. A signature by such a key fits any message, and not every
 * runtime refuses it.
 */
const SMALL_ORDER: ReadonlySet<string> = new Set([
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  `ec${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(30)}7f`,
]);

function hasSmallOrder(publicKey: KeyObject): boolean {
  const point = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  point[31] = (point[31] ?? 0) & 0x7f;
  return SMALL_ORDER.has(point.toString('hex'));
}

function attempt(read: () => KeyObject): KeyObject | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function requireEd25519(key: KeyObject, shown: string): KeyObject {
  const found = key.asymmetricKeyType ?? 'unknown';
  if (found === 'ed25519') return key;
  throw badKey(shown, `a key of type ${found}`, 'ed25519');
}

function badKey(shown: string, found: string, expected: string): GweError {
  return new GweError('USAGE_BAD_VALUE', `cannot use key ${quote(shown)}: ${found}, expected ${expected}`);
}

/** The private key that belongs to `pem`, a public one, is elsewhere: `ask` gets its signature. */
export function createRemoteSigner(pem: string, shown: string, ask: Signer['sign']): Signer {
  const publicKey = readPublicKey(pem, shown);
  return {
    keyId: keyId(publicKey),
    async sign(message) {
      const bytes = await ask(message);
      if (bytes.length === SIGNATURE_BYTES && verify(null, message, publicKey, bytes)) return bytes;
      throw badKey(
        shown,
        `${bytes.length} bytes that are no signature of this key`,
        'one of the bytes on stdin',
      );
    },
  };
}

export function createSigner(privateKey: KeyObject): Signer {
  return {
    keyId: keyId(createPublicKey(privateKey)),
    sign: (message) => sign(null, message, privateKey),
  };
}

/** Whether `signature` is `publicKey`'s over the manifest, or what else `purpose` names, with `digest`. */
export function isSignedBy(
  publicKey: KeyObject,
  digest: string,
  signature: ArtifactSignature,
  purpose?: string,
): boolean {
  const bytes = Buffer.from(signature.signature, 'base64');
  if (bytes.length !== SIGNATURE_BYTES || signature.keyid !== keyId(publicKey)) return false;
  return verify(null, signedMessage(digest, purpose), publicKey, bytes);
}

/** `signatures` with one by `signer` added; an earlier one of the same key is replaced. */
export async function addSignature(
  signatures: readonly ArtifactSignature[],
  digest: string,
  signer: Signer,
): Promise<ArtifactSignature[]> {
  const bytes = await signer.sign(signedMessage(digest));
  const signature = { keyid: signer.keyId, signature: bytes.toString('base64') };
  return [...signatures.filter((other) => other.keyid !== signer.keyId), signature];
}

/** The bytes of `.gwe/signatures.json`, sorted by key. */
export function renderSignatures(signatures: readonly ArtifactSignature[]): Buffer {
  const sorted = [...signatures].sort((a, b) => (a.keyid < b.keyid ? -1 : 1));
  return Buffer.from(renderCanonical({ format: 1, signatures: sorted }));
}

/** Throws ARTIFACT_FORMAT for bytes that are no list of signatures, sorted, one for each key. */
export function decodeSignatures(bytes: Buffer): ArtifactSignature[] {
  const result = v.safeParse(SignaturesSchema, decodeCanonical(bytes, SIGNATURES_PATH));
  if (!result.success) {
    const where = v.getDotPath(result.issues[0]) ?? 'it';
    throw formatFault(`${quote(SIGNATURES_PATH)} whose ${quote(where)} is wrong`, 'signatures by key id');
  }
  const { signatures } = result.output;
  if (signatures.every(({ keyid }, at) => at === 0 || (signatures[at - 1]?.keyid ?? '') < keyid))
    return signatures;
  throw formatFault(`${quote(SIGNATURES_PATH)} that names a key twice or is not sorted`, 'each key once');
}
