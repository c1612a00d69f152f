import { createReadStream, createWriteStream } from 'node:fs';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import fetch, { type RequestInit, type Response } from 'node-fetch';
import { describeError, GweError, systemCode } from '../../base/errors.ts';

/** A tiny client of a platform's management calls, for the command line. */

interface ClientOptions {
  /** Where the platform is, without a path. */
  url: string;
  token: string;
  /** PEM of the authority that signed the platform's certificate, where it is not a public one. */
  ca?: string;
  signal: AbortSignal;
  timeoutMs?: number;
}

export interface ClientReply {
  status: number;
  text: string;
}

export interface PlatformClient {
  /** Throws PROTOCOL_OFFLINE when there is no answer; answers of any status are returned, except 401 and 429. */
  call(method: string, path: string, body?: string): Promise<ClientReply>;
  /** PUTs a file; the time limit starts anew with each byte that is sent. */
  upload(path: string, file: UploadFile): Promise<ClientReply>;
  /** GETs an endless answer piece by piece; each byte restarts the time limit. `undefined` unless refused. */
  stream(
    path: string,
    headers: Readonly<Record<string, string>>,
    take: (piece: Uint8Array) => void,
  ): Promise<ClientReply | undefined>;
  /**
   * GETs content into a file of the caller's scratch directory. False if there is none; the time limit starts anew
   * with each byte.
   */
  download(path: string, file: string): Promise<boolean>;
}

interface UploadFile {
  path: string;
  sizeBytes: number;
  onProgress(doneBytes: number, totalBytes: number): void;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const ATTEMPT_MS = 5000;
/** Enough for a whole history with every byte of it escaped in JSON. */
const MAX_REPLY_BYTES = 64 * 1024 * 1024;

export function createPlatformClient(options: ClientOptions): PlatformClient {
  const isTls = options.url.startsWith('https:');
  // By default the runtime gives an address up after 250 ms, but a handshake over a satellite takes a second.
  const patience = { autoSelectFamilyAttemptTimeout: ATTEMPT_MS };
  const ca = options.ca === undefined ? {} : { ca: options.ca };
  const agent = isTls ? new HttpsAgent({ ...patience, ...ca }) : new HttpAgent(patience);
  const send = async (path: string, init: RequestInit, limit: Limit): Promise<ClientReply> => {
    try {
      const response = await fetch(options.url + path, {
        ...init,
        headers: { ...init.headers, 'X-Exosite-Token': options.token },
        redirect: 'error',
        size: MAX_REPLY_BYTES,
        signal: limit.signal,
        agent,
      });
      const text = await response.text();
      // The reason is in a header: the body of an error is the status line of the protocol.
      return refuseUnauthorized({ status: response.status, text: wordsOf(response) ?? text }, options.url);
    } catch (error) {
      throw error instanceof GweError ? error : unreachable(error, options, limit);
    } finally {
      limit.end();
    }
  };
  const get = getter(options, agent);
  return {
    call: (method, path, body) =>
      send(path, { method, ...(body === undefined ? {} : { body }) }, startLimit(options)),
    stream: (path, headers, take) =>
      get(path, headers, async (body, limit) => {
        for await (const piece of body) {
          limit.touch();
          take(Buffer.from(piece));
        }
      }),
    async download(path, file) {
      const refusal = await get(path, {}, (body, limit) =>
        pipeline(body, touching(limit), createWriteStream(file, { flags: 'wx', mode: 0o600 })),
      );
      return refusal === undefined;
    },
    upload(path, file) {
      const limit = startLimit(options);
      const headers = {
        'Content-Length': String(file.sizeBytes),
        'Content-Type': 'application/octet-stream',
      };
      return send(path, { method: 'PUT', headers, body: Readable.from(readTouching(file, limit)) }, limit);
    },
  };
}

type Getter = (
  path: string,
  headers: Readonly<Record<string, string>>,
  use: (body: NodeJS.ReadableStream, limit: Limit) => Promise<void>,
) => Promise<ClientReply | undefined>;

/** GETs a body that is used as it arrives. Resolves to the reply of a refusal, otherwise to `undefined`. */
function getter(options: ClientOptions, agent: HttpAgent): Getter {
  return async (path, extra, use) => {
    const limit = startLimit(options);
    try {
      const headers = { ...extra, 'X-Exosite-Token': options.token };
      const init = { headers, redirect: 'error', signal: limit.signal, agent } as const;
      const response = await fetch(options.url + path, init);
      if (response.status === 200 && response.body !== null) {
        await use(response.body, limit);
        return undefined;
      }
      const text = await response.text();
      return refuseUnauthorized({ status: response.status, text: wordsOf(response) ?? text }, options.url);
    } catch (error) {
      throw error instanceof GweError ? error : unreachable(error, options, limit);
    } finally {
      limit.end();
    }
  };
}

/** What is wrong, and, for a fault of the platform, the id under which its log has details. */
function wordsOf({ ok, status, headers }: Response): string | undefined {
  const words = ok ? null : headers.get('x-gwe-reason');
  if (words === null) return undefined;
  const id = headers.get('x-request-id');
  return status < 500 || id === null ? words : `${words} (request ${id})`;
}

interface Limit {
  signal: AbortSignal;
  isOver(): boolean;
  /** Starts the time limit anew. */
  touch(): void;
  end(): void;
}

function startLimit(options: ClientOptions): Limit {
  const controller = new AbortController();
  let isOver = false;
  const expire = (): void => {
    isOver = true;
    controller.abort();
  };
  const cancel = (): void => controller.abort();
  const timer = setTimeout(expire, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  options.signal.addEventListener('abort', cancel);
  if (options.signal.aborted) cancel();
  return {
    signal: controller.signal,
    isOver: () => isOver,
    touch: () => timer.refresh(),
    end() {
      clearTimeout(timer);
      options.signal.removeEventListener('abort', cancel);
    },
  };
}

/** Passes the bytes on, and starts the time limit anew with each piece. */
function touching(limit: Limit): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      limit.touch();
      done(null, chunk);
    },
  });
}

async function* readTouching(
  { path, sizeBytes, onProgress }: UploadFile,
  limit: Limit,
): AsyncGenerator<Buffer> {
  let doneBytes = 0;
  for await (const chunk of createReadStream(path)) {
    limit.touch();
    onProgress(doneBytes, sizeBytes);
    doneBytes += chunk.length;
    yield chunk;
  }
}

function refuseUnauthorized(reply: ClientReply, url: string): ClientReply {
  if (reply.status === 401) {
    throw new GweError(
      'PROTOCOL_UNAUTHORIZED',
      `cannot manage the platform at '${url}': it refused the token; give the file that holds its admin token ` +
        '(--token-file or GWE_PLATFORM_TOKEN_FILE)',
    );
  }
  if (reply.status === 429) {
    throw new GweError('PROTOCOL_BUSY', `cannot manage the platform at '${url}': ${firstLine(reply.text)}`);
  }
  return reply;
}

function unreachable(error: unknown, options: ClientOptions, limit: Limit): GweError {
  if (options.signal.aborted) return new GweError('CANCELLED', 'interrupted');
  const reason = limit.isOver() ? 'no answer in time' : reasonOf(error);
  return new GweError('PROTOCOL_OFFLINE', `cannot reach the platform at '${options.url}': ${reason}`, {
    cause: error,
  });
}

function reasonOf(error: unknown): string {
  const text = describeError(error);
  if (systemCode(error) === 'ECONNREFUSED') {
    return 'nothing listens there; start one with gwe platform serve, or give its URL (--url or GWE_PLATFORM_URL)';
  }
  if (/certificate|self.signed|issuer/i.test(text)) {
    return `${text}; give the authority that signed it (--ca-file or GWE_PLATFORM_CA_FILE)`;
  }
  return text;
}

/** The platform's reason for a failure, made fit for one line of a terminal. */
export function firstLine(text: string): string {
  return (
    text
      .split(/[\r\n]/, 1)[0]
      ?.replace(/\p{Cc}/gu, ' ')
      .slice(0, 300) ?? ''
  );
}
