/** The second factor: six digits of an authenticator app, which change every 30 seconds (RFC 6238 with SHA-1). */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

const STEP_S = 30;
/** A clock may be off, and people type slowly. */
const STEPS_AROUND = 1;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** 160 bits in base 32. */
export function makeTotpSecret(): string {
  return Array.from(randomBytes(32), (byte) => ALPHABET[byte % 32]).join('');
}

/** What an authenticator app reads as a QR code. */
export function totpUri(secret: string, account: string): string {
  const query = new URLSearchParams({ secret, issuer: 'gwe' });
  return `otpauth://totp/gwe:${encodeURIComponent(account)}?${query.toString()}`;
}

/**
 * The time step that this code belongs to, or `undefined`. `lastStep`: the step of the last code that was accepted;
 * neither that code nor an earlier one is accepted again.
 */
export function findTotpStep(
  secret: string,
  code: string,
  nowS: number,
  lastStep: number,
): number | undefined {
  if (!/^\d{6}$/.test(code)) return undefined;
  const now = Math.floor(nowS / STEP_S);
  let found: number | undefined;
  for (let step = now - STEPS_AROUND; step <= now + STEPS_AROUND; step++)
    if (timingSafeEqual(Buffer.from(totpCode(secret, step)), Buffer.from(code)) && step > lastStep)
      found = step;
  return found;
}

export function totpCode(secret: string, step: number): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac('sha1', decodeBase32(secret)).update(counter).digest();
  const offset = (mac.at(-1) ?? 0) & 15;
  const number = mac.readUInt32BE(offset) & 0x7fff_ffff;
  return String(number % 1_000_000).padStart(6, '0');
}

function decodeBase32(text: string): Buffer {
  const bits = Array.from(text, (letter) => ALPHABET.indexOf(letter).toString(2).padStart(5, '0')).join('');
  return Buffer.from((bits.match(/[01]{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
}
