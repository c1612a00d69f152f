/** What a status of the platform means, the same for every call (one-platform.md §1.8). */
import { GweError } from '../base/errors.ts';
import type { ResponseHeaders } from './transport-types.ts';

interface Answer {
  status: number;
  headers: ResponseHeaders;
}

/** Longest pause taken from a Retry-After; more is a mistake of the server. */
const MAX_RETRY_AFTER_MS = 24 * 60 * 60 * 1000;

/** 200, 204, 205: done. */
export function isSuccess(status: number): boolean {
  return status >= 200 && status <= 205;
}

/**
 * The error for a status that is no success: PROTOCOL_UNAUTHORIZED (401), PROTOCOL_BUSY (429, 5xx; `retryAfterMs` in
 * its facts when the server named a time), PROTOCOL_REFUSED (anything else). `doing` reads `read aliases 'a', 'b'`.
 */
export function statusError(doing: string, answer: Answer, wallMs: number): GweError {
  const { status } = answer;
  if (status === 401) {
    return new GweError(
      'PROTOCOL_UNAUTHORIZED',
      `cannot ${doing}: the platform does not accept this device's key (status 401); gwe activates again and keeps the key until it has a new one`,
      { facts: { status } },
    );
  }
  if (status === 429 || status >= 500) {
    const retryAfterMs = retryAfter(answer.headers, wallMs);
    const when = retryAfterMs === undefined ? '' : `, try again in ${Math.ceil(retryAfterMs / 1000)} s`;
    return new GweError(
      'PROTOCOL_BUSY',
      `cannot ${doing}: the platform has trouble (status ${status})${when}`,
      {
        facts: { status, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) },
      },
    );
  }
  return new GweError('PROTOCOL_REFUSED', `cannot ${doing}: the platform refused it (status ${status})`, {
    facts: { status },
  });
}

/**
 * Milliseconds of a Retry-After in seconds or as an HTTP-date. A date counts from the server's own Date where there is
 * one: a gateway without a clock of its own may be years off.
 */
function retryAfter(headers: ResponseHeaders, wallMs: number): number | undefined {
  const value = headers.get('retry-after')?.trim() ?? '';
  if (/^\d{1,9}$/.test(value)) return Math.min(Number(value) * 1000, MAX_RETRY_AFTER_MS);
  const untilMs = parseHttpDate(value);
  if (untilMs === undefined) return undefined;
  const nowMs = parseHttpDate(headers.get('date') ?? '') ?? wallMs;
  return Math.min(Math.max(untilMs - nowMs, 0), MAX_RETRY_AFTER_MS);
}

/** Unix milliseconds of an HTTP-date (RFC 9110 §5.6.7), or `undefined`. */
export function parseHttpDate(text: string): number | undefined {
  if (!/^[A-Z][a-z]{2,8}, .{9,30} GMT$/.test(text)) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

/** How long the platform asks us to wait, in ms; 0 if it does not. */
export function retryAfterMs(error: unknown): number {
  const wait = error instanceof GweError ? error.facts.retryAfterMs : undefined;
  return typeof wait === 'number' ? wait : 0;
}

const [LF, CR] = [0x0a, 0x0d];
const INTERIM = /^HTTP\/1\.[01] 1/;

/**
 * Reads along whether the head of an answer is of lines that end with CR LF, each of them, and an empty one. Parsers
 * differ on others (CVE-2025-23167, in the runtime of armv7l), so what follows such a head could be taken for another
 * answer.
 */
export function createHeadWatch() {
  let [last, lineBytes, isPlain, isOver, firstLine] = [0, 0, true, false, ''];
  const endLine = (): void => {
    if (last !== CR) isPlain = false;
    // The head of the answer itself follows.
    if (lineBytes === 0 && INTERIM.test(firstLine)) firstLine = '';
    else isOver = lineBytes === 0;
    lineBytes = 0;
  };
  const take = (byte: number): void => {
    if (byte === LF) endLine();
    else if (last === CR) isPlain = false;
    else if (byte !== CR) {
      lineBytes++;
      if (firstLine.length < 10) firstLine += String.fromCharCode(byte);
    }
    last = byte;
  };
  return {
    begin(): void {
      [last, lineBytes, isPlain, isOver, firstLine] = [0, 0, true, false, ''];
    },
    add(chunk: Buffer): void {
      for (let at = 0; at < chunk.length && isPlain && !isOver; at++) take(chunk[at] ?? 0);
    },
    isPlain: () => isPlain && isOver,
  };
}
