/** One request and its answer: bounded bodies, decoded paths, answers as values. Nothing here knows a route. */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { FREE_ANSWER_BYTES } from '../bounds.ts';
import { type AnswerRoom, sendText } from './answer-room.ts';

export interface Exchange {
  request: IncomingMessage;
  /** The request's id in the log, and for operators in the answer. */
  id: string;
  /** The client's address, in the form of `addressKey`. */
  address: string;
  method: string;
  /** Decoded path segments after the first slash. */
  segments: readonly string[];
  /** As sent, without the question mark. */
  query: string;
  /** Aborts when the client has gone or the server closes. */
  signal: AbortSignal;
  /**
   * Notes that the sender has shown a valid key: this device's, or an operator's. Its connection is then not ended to
   * make room for another one.
   */
  admit(device?: string): void;
}

export interface Reply {
  status: number;
  headers?: Readonly<Record<string, string>>;
  /** A stream without a size is sent in chunks. */
  body?: string | { stream: Readable; sizeBytes?: number };
  /** Sends the platform's time over plain HTTP too: a client that waits for news has to know since when. */
  isDated?: boolean;
}

/** Thrown to answer with a status; `text` is one line for a person. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, text: string, headers: Readonly<Record<string, string>> = {}) {
    super(text);
    this.status = status;
    this.headers = headers;
  }
}

export const NO_CONTENT: Reply = { status: 204 };
/** What management calls without a result answer (one-platform.md §2.4). */
export const RESET_CONTENT: Reply = { status: 205, headers: { 'content-length': '0' } };
const PLAIN = 'text/plain; charset=utf-8';
/** How long the rest of a body that is no longer needed is read. */
const LINGER_MS = 5000;

/**
 * Header of an error with the reason in our words: its body is the status line, which old clients compare as a whole.
 */
const REASON_HEADER = 'X-Gwe-Reason';
/** How much of an answer a small client reads, by the buffers of the protocol's C and Arduino clients. */
const SMALL_CLIENT_BYTES = 200;
/** The limit for people, who are recognized by the token that they send. */
const LONGEST_WORDS_BYTES = 1000;

/**
 * The answer to a refused request, in the form of the original platform, with as much of `text` in a header as the
 * client can read.
 */
export function refusalReply(exchange: Exchange, status: number, text: string): Reply {
  const body = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`.trim();
  const common =
    2 * body.length + 2 + 'Content-Length: 99\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n'.length;
  const roomBytes =
    header(exchange, 'x-exosite-token') === undefined
      ? SMALL_CLIENT_BYTES - common - `${REASON_HEADER}: \r\n`.length
      : LONGEST_WORDS_BYTES;
  const words = text.replace(/[^\x20-\x7e]/g, '?');
  const cut = words.length <= roomBytes ? words : `${words.slice(0, roomBytes - 3)}...`;
  return { status, headers: { 'content-type': PLAIN, [REASON_HEADER]: cut }, body };
}

export function textReply(status: number, text: string, contentType = PLAIN): Reply {
  return { status, headers: { 'content-type': contentType }, body: text };
}

export function jsonReply(value: unknown): Reply {
  return textReply(200, JSON.stringify(value), 'application/json');
}

/** Refuses every method but `allowed`. */
export function requireMethod(exchange: Exchange, ...allowed: string[]): void {
  if (allowed.includes(exchange.method)) return;
  throw new Refusal(405, `cannot ${exchange.method} this: expected ${allowed.join(' or ')}`, {
    allow: allowed.join(', '),
  });
}

/** The request's path and query. Refuses what cannot be decoded with 400. */
export function splitTarget(target: string): { segments: string[]; query: string } {
  const local = target.replace(/^https?:\/\/[^/?#]*/i, '');
  const mark = local.indexOf('?');
  const path = mark === -1 ? local : local.slice(0, mark);
  if (!path.startsWith('/')) throw new Refusal(400, 'cannot read the request: its target is not a path');
  try {
    const segments = path.slice(1).split('/').map(decodeURIComponent);
    return { segments, query: mark === -1 ? '' : local.slice(mark + 1) };
  } catch {
    throw new Refusal(400, 'cannot read the path: a percent sequence is malformed');
  }
}

/** One header as text; `undefined` if it is not there. */
export function header(exchange: Exchange, name: string): string | undefined {
  const value = exchange.request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

export function declaredLength(exchange: Exchange): number {
  return Number(header(exchange, 'content-length') ?? 0);
}

/**
 * Sends the answer. The rest of an unread body is read and dropped for a while, so that the client gets to the
 * answer.
 */
export async function sendReply(
  exchange: Exchange,
  response: ServerResponse,
  reply: Reply,
  stall: AnswerRoom['stall'],
): Promise<void> {
  const body = reply.body;
  const size = body === undefined ? 0 : typeof body === 'string' ? Buffer.byteLength(body) : body.sizeBytes;
  response.statusCode = reply.status;
  for (const [name, value] of Object.entries(reply.headers ?? {})) response.setHeader(titleCase(name), value);
  // Clients of 2016 look for a length in every answer, even in a 204.
  if (size !== undefined && (body !== undefined || reply.status === 204))
    response.setHeader('Content-Length', size);
  // Over TLS, a gateway sets its clock by the date; elsewhere it takes room that a small client does not have.
  response.sendDate = reply.isDated === true || 'encrypted' in exchange.request.socket;
  leaveOutConnection(exchange.request, response);
  lingerForBody(exchange.request);
  if (body !== undefined && typeof body !== 'string' && exchange.method !== 'HEAD') {
    await pipeline(body.stream, response);
    return;
  }
  if (body !== undefined && typeof body !== 'string') body.stream.destroy();
  const isLong = typeof body === 'string' && body.length > FREE_ANSWER_BYTES && exchange.method !== 'HEAD';
  if (isLong) await sendText(response, body, { signal: exchange.signal, stall });
  else response.end(typeof body === 'string' ? body : undefined);
}

/**
 * HTTP/1.1 keeps a connection open unless told otherwise (RFC 9112 §9.3), and small clients have no room for the
 * header: it is sent only when the connection ends.
 */
function leaveOutConnection(request: IncomingMessage, response: ServerResponse): void {
  if (response.shouldKeepAlive && request.httpVersion === '1.1' && !response.hasHeader('connection'))
    response.removeHeader('connection');
}

/** Header names as the original platform wrote them, since clients of its time compare them so. */
function titleCase(name: string): string {
  return name.replace(/(?<=^|-)[a-z]/g, (letter) => letter.toUpperCase());
}

function lingerForBody(request: IncomingMessage): void {
  if (request.complete) return;
  request.resume();
  const timer = setTimeout(() => {
    if (!request.complete) request.destroy();
  }, LINGER_MS);
  timer.unref();
  request.once('close', () => clearTimeout(timer));
}
