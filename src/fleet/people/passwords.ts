/** Passwords of people, stored as `scrypt$LOG2N$R$P$SALT$HASH`, so that the cost can grow later. */
import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';

const [LOG2N, R, P, KEY_BYTES] = [15, 8, 1, 32];
/** One hash takes 128 * N * r bytes; a stored text that asks for more was not made here. */
const MAX_MEMORY_BYTES = 64 * 1024 * 1024;

export const MIN_PASSWORD_CHARS = 12;
export const MAX_PASSWORD_CHARS = 256;

export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const hash = await derive(password, salt, { N: 2 ** LOG2N, r: R, p: P });
  return ['scrypt', LOG2N, R, P, salt.toString('base64url'), hash.toString('base64url')].join('$');
}

/** Without a `stored` password the answer is no, after the same time: nobody learns which names exist. */
export async function checkPassword(password: string, stored: string | undefined): Promise<boolean> {
  const [, log2n, r, p, salt, hash] =
    /^scrypt\$(\d{2})\$(\d{1,2})\$(\d)\$([\w-]{22})\$([\w-]{43})$/.exec(stored ?? NOBODY) ?? [];
  if (salt === undefined || hash === undefined) return false;
  const cost = { N: 2 ** Number(log2n), r: Number(r), p: Number(p) };
  const found = await derive(password, Buffer.from(salt, 'base64url'), cost);
  return timingSafeEqual(found, Buffer.from(hash, 'base64url')) && stored !== undefined;
}

const NOBODY = `scrypt$${LOG2N}$${R}$${P}$${'A'.repeat(22)}$${'A'.repeat(43)}`;

function derive(password: string, salt: Buffer, cost: ScryptOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const options = { ...cost, maxmem: MAX_MEMORY_BYTES };
    scrypt(password.normalize('NFKC'), salt, KEY_BYTES, options, (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });
}

/** Without letters that look like another one; a password made of them has 100 bits. */
const LETTERS = 'abcdefghjkmnpqrstuvwxyz23456789!';

/** A password for a first login. */
export function randomPassword(): string {
  return Array.from(randomBytes(20), (byte) => LETTERS[byte % LETTERS.length]).join('');
}
