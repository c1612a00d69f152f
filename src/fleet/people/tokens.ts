/** Tokens of people and programs: `gwet_ID_SECRET`. Only a digest of the secret is kept. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Grant } from './roles.ts';

export interface StoredToken {
  /** Names the token in lists and in the audit; not secret. */
  readonly id: string;
  /** sha256 of the secret, in hexadecimal. */
  readonly digest: string;
  /** Name of the owner. */
  readonly name: string;
  readonly grants: readonly Grant[];
  /** Unix seconds after which the token is not accepted. */
  readonly expiresAt: number;
}

const TOKEN = /^gwet_([0-9a-f]{12})_([0-9a-f]{64})$/;

/** `random`: 38 bytes from a good source. */
export function makeToken(random: Buffer): { text: string; id: string; digest: string } {
  const id = random.subarray(0, 6).toString('hex');
  const secret = random.subarray(6, 38).toString('hex');
  return { text: `gwet_${id}_${secret}`, id, digest: digestOf(secret) };
}

/** `undefined` for anything that is not a token. */
export function parseToken(text: string): { id: string; secret: string } | undefined {
  const [, id, secret] = TOKEN.exec(text) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secret };
}

/** Whether this is the token's secret, and the token has not expired. */
export function opens(stored: StoredToken, secret: string, nowS: number): boolean {
  const isSame = timingSafeEqual(
    Buffer.from(digestOf(secret)),
    Buffer.from(stored.digest.padEnd(64).slice(0, 64)),
  );
  return isSame && nowS < stored.expiresAt;
}

function digestOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
