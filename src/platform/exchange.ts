/** One request and its answer: bounded bodies, decoded paths, answers as values. Nothing here knows a route. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

export interface Exchange {
  request: IncomingMessage;
  method: string;
  /** Decoded path segments behind the first slash. */
  segments: readonly string[];
  /** As sent, without the question mark. */
  query: string;
  /** Aborts when the client has gone or the server closes. */
  signal: AbortSignal;
}

export interface Reply {
  status: number;
  headers?: Readonly<Record<string, string>>;
  body?: string | { stream: Readable; sizeBytes: number };
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
/** What management calls without a result answer (spec §2.4). */
export const RESET_CONTENT: Reply = { status: 205, headers: { 'content-length': '0' } };
const PLAIN = 'text/plain; charset=utf-8';
/** For the rest of a body that nobody wants any more. */
const LINGER_MS = 5000;

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

/** The body as text. Refuses more than `limitBytes` with 413, by its declared length before a byte is read. */
export async function readBody(exchange: Exchange, limitBytes: number, timeoutMs: number): Promise<string> {
  const tooLarge = (): Refusal =>
    new Refusal(413, `cannot take the body: expected at most ${limitBytes} bytes`);
  if (declaredLength(exchange) > limitBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  const stall = setTimeout(() => exchange.request.destroy(), timeoutMs);
  try {
    for await (const chunk of exchange.request.iterator({ destroyOnReturn: false })) {
      const bytes: Buffer = Buffer.from(chunk);
      size += bytes.length;
      if (size > limitBytes) throw tooLarge();
      chunks.push(bytes);
    }
  } finally {
    clearTimeout(stall);
  }
  return Buffer.concat(chunks).toString('utf8');
}

export function declaredLength(exchange: Exchange): number {
  return Number(header(exchange, 'content-length') ?? 0);
}

/** Sends the answer. The rest of an unread body is dropped for a while, so that the client gets to read it. */
export async function sendReply(exchange: Exchange, response: ServerResponse, reply: Reply): Promise<void> {
  const body = reply.body;
  const size = body === undefined ? 0 : typeof body === 'string' ? Buffer.byteLength(body) : body.sizeBytes;
  response.statusCode = reply.status;
  for (const [name, value] of Object.entries(reply.headers ?? {})) response.setHeader(name, value);
  if (body !== undefined) response.setHeader('content-length', size);
  lingerForBody(exchange.request);
  if (body !== undefined && typeof body !== 'string' && exchange.method !== 'HEAD') {
    await pipeline(body.stream, response);
    return;
  }
  if (body !== undefined && typeof body !== 'string') body.stream.destroy();
  response.end(typeof body === 'string' ? body : undefined);
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
