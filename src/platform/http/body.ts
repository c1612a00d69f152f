/** Bodies of forms. They are read into memory, so the length of each is bounded, and the total of all. */

import {
  FREE_BODY_BYTES,
  MAX_BODIES_BYTES,
  MAX_BODIES_BYTES_PER_SENDER,
  MAX_STRANGERS_BODIES_BYTES,
} from '../bounds.ts';
import { declaredLength, type Exchange, Refusal } from './exchange.ts';
import { createQuota, type Quota } from './quota.ts';

export interface BodyLimits {
  timeoutMs: number;
  /** Bytes of bodies that are in memory now, by sender. */
  bodies: Quota;
  /** The same for senders that have shown no key, by address. */
  ofStrangers: Quota;
}

export function createBodyLimits(timeoutMs: number): BodyLimits {
  const each = MAX_BODIES_BYTES_PER_SENDER;
  return {
    timeoutMs,
    bodies: createQuota({ total: MAX_BODIES_BYTES, each }),
    ofStrangers: createQuota({ total: MAX_STRANGERS_BODIES_BYTES, each }),
  };
}

/**
 * The body as text. Refuses with 413 more than `limitBytes`, by the declared length before a byte is read, and with
 * 429 a body for which there is no room beside the other bodies of `sender` or of all senders. The room is given back
 * when the request has been answered.
 */
export async function readBody(
  exchange: Exchange,
  limitBytes: number,
  limits: Pick<BodyLimits, 'timeoutMs' | 'bodies'>,
  sender: string,
): Promise<string> {
  const declared = declaredLength(exchange);
  if (declared > limitBytes) throw tooLarge(limitBytes);
  const isSized = exchange.request.headers['content-length'] !== undefined;
  holdRoom(exchange, limits.bodies, sender, isSized ? declared : limitBytes);
  const stall = setTimeout(() => exchange.request.destroy(), limits.timeoutMs);
  try {
    return (await gather(exchange, limitBytes)).toString('utf8');
  } finally {
    clearTimeout(stall);
  }
}

function holdRoom(exchange: Exchange, bodies: Quota, sender: string, bytes: number): void {
  // A form of the usual size always has room: the number of connections bounds them.
  if (bytes <= FREE_BODY_BYTES) return;
  const leave = bodies.take(sender, bytes);
  if (leave === undefined)
    throw new Refusal(429, 'cannot take the body: too many big ones at once', { 'retry-after': '5' });
  if (exchange.signal.aborted) leave();
  else exchange.signal.addEventListener('abort', leave, { once: true });
}

async function gather(exchange: Exchange, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of exchange.request.iterator({ destroyOnReturn: false })) {
    const bytes: Buffer = Buffer.from(chunk);
    size += bytes.length;
    if (size > limitBytes) throw tooLarge(limitBytes);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

function tooLarge(limitBytes: number): Refusal {
  return new Refusal(413, `cannot take the body: expected at most ${limitBytes} bytes`);
}
