/**
 * Secrets that have to be read again, sealed (AES-256-GCM) with a key in a file beside the server's token: whoever
 * has the database, or a backup of it, cannot read them.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

export const SEAL_KEY_BYTES = 32;
const CIPHER = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;
const SEALED = /^sealed1\.([0-9a-f]{8})\.([A-Za-z0-9_-]+)$/;

export interface Sealer {
  /** `about` says whose secret it is: sealed for one owner, it does not open for another. */
  seal(text: string, about: string): string;
  /** The text, or one line that says why it cannot be opened. */
  open(sealed: string, about: string): { readonly text: string } | { readonly fault: string };
}

export function isSealed(text: string): boolean {
  return SEALED.test(text);
}

export function createSealer(key: Buffer): Sealer {
  // Made by a digest of its own, so that it identifies the key and reveals nothing about it.
  const keyId = createHash('sha256').update('gwe seal key\n').update(key).digest('hex').slice(0, 8);
  const bound = (about: string): Buffer => Buffer.from(`${keyId}\n${about}`);
  return {
    seal(text, about) {
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv(CIPHER, key, iv).setAAD(bound(about));
      const bytes = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
      return `sealed1.${keyId}.${Buffer.concat([iv, cipher.getAuthTag(), bytes]).toString('base64url')}`;
    },
    open(sealed, about) {
      const [, sealedWith, body = ''] = SEALED.exec(sealed) ?? [];
      if (sealedWith !== keyId)
        return {
          fault: `it is sealed with key ${sealedWith ?? '(none)'}, and this platform has key ${keyId}`,
        };
      const bytes = Buffer.from(body, 'base64url');
      const [iv, tag] = [bytes.subarray(0, IV_BYTES), bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES)];
      if (tag.length < TAG_BYTES) return { fault: 'it is cut off' };
      const decipher = createDecipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES });
      decipher.setAAD(bound(about)).setAuthTag(tag);
      try {
        const text = [decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()];
        return { text: Buffer.concat(text).toString('utf8') };
      } catch {
        return { fault: 'it has been changed, or is that of somebody else' };
      }
    },
  };
}
