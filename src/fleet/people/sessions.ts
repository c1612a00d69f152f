/**
 * A signed-in browser has a cookie that names a credential until a time. It is sealed with a key of the platform, so
 * that every replica can check it and none has to store it. It allows no more, and lasts no longer, than that
 * credential.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

export interface Session {
  /** The id of a token. */
  readonly credential: string;
  /** Unix seconds. */
  readonly expiresAt: number;
  /** Tells two sessions of one credential apart. */
  readonly nonce: string;
}

/** A working day; after it one has to sign in again. */
export const SESSION_SECONDS = 12 * 3600;

const COOKIE = /^([0-9a-f]{10,12})\.(\d{1,12})\.([0-9a-f]{32})\.([0-9a-f]{64})$/;

/** The cookie's value. */
export function sealSession({ credential, expiresAt, nonce }: Session, key: Buffer): string {
  const plain = `${credential}.${expiresAt}.${nonce}`;
  return `${plain}.${sealOf('session', plain, key)}`;
}

/** `undefined` for a cookie that was not sealed with this key, or has expired. */
export function openSession(cookie: string, key: Buffer, nowS: number): Session | undefined {
  const [, credential, expires, nonce, seal] = COOKIE.exec(cookie) ?? [];
  if (credential === undefined || nonce === undefined || seal === undefined) return undefined;
  const expiresAt = Number(expires);
  const expected = sealOf('session', `${credential}.${expiresAt}.${nonce}`, key);
  if (!isSame(seal, expected) || nowS >= expiresAt) return undefined;
  return { credential, expiresAt, nonce };
}

/**
 * What a page has to send with each change: a page of another site can make the browser send the cookie, but cannot
 * read this.
 */
export function changeTokenOf({ nonce }: Session, key: Buffer): string {
  return sealOf('change', nonce, key);
}

export function isChangeToken(given: string, session: Session, key: Buffer): boolean {
  return isSame(given, changeTokenOf(session, key));
}

function sealOf(purpose: string, plain: string, key: Buffer): string {
  return createHmac('sha256', key).update(`${purpose}\n${plain}`).digest('hex');
}

function isSame(given: string, expected: string): boolean {
  return given.length === expected.length && timingSafeEqual(Buffer.from(given), Buffer.from(expected));
}
