/** Makes one call of the S3 API: signed, with a time limit, and tried again where that may help. */
import { createHash } from 'node:crypto';
import * as http from 'node:http';
import * as https from 'node:https';
import { AwsV4Signer } from 'aws4fetch';
import type { Clock } from '../../../base/clock.ts';
import { describeError, GweError, systemCode } from '../../../base/errors.ts';
import { errorOf } from './s3-answers.ts';

export interface S3Target {
  bucket: string;
  /** Put before the names of all objects: empty, or ends with a slash. */
  prefix: string;
  /** `https://HOST[:PORT]`. */
  endpoint: string;
  region: string;
  keyId: string;
  secretKey: string;
  sessionToken?: string | undefined;
  /** PEM of a private certificate authority. */
  ca?: string | undefined;
}

export interface S3Call {
  method: 'GET' | 'PUT' | 'POST' | 'DELETE' | 'HEAD';
  /** The name of the object, with the prefix; empty for the bucket itself. */
  key: string;
  query?: Readonly<Record<string, string>>;
  headers?: Readonly<Record<string, string>>;
  body?: Uint8Array;
}

export interface S3Client {
  /**
   * The answer, its body unread; a 404 is an answer too. Throws PROTOCOL_OFFLINE where the store cannot be reached or
   * keeps failing, PROTOCOL_REFUSED for what it refuses to do.
   */
  send(call: S3Call, signal?: AbortSignal): Promise<http.IncomingMessage>;
  /** The same, with its body, which has to be small. */
  ask(call: S3Call): Promise<{ status: number; headers: http.IncomingHttpHeaders; text: string }>;
  /** The host of the store, for messages. */
  host: string;
  close(): void;
}

/** Time until the answer begins; a part of an upload has to be sent within it. */
const ANSWER_MS = 120_000;
const MOST_TRIES = 8;
const [FIRST_PAUSE_MS, LONGEST_PAUSE_MS] = [200, 4000];
const MAX_TEXT_BYTES = 8 * 1024 * 1024;
const MOST_SOCKETS = 256;
const DONE = 'the call has ended';

export function createS3Client(target: S3Target, clock: Clock): S3Client {
  const { host, protocol } = new URL(target.endpoint);
  const options = { keepAlive: true, maxSockets: MOST_SOCKETS };
  const agent =
    protocol === 'https:'
      ? new https.Agent({ ...options, ...(target.ca === undefined ? {} : { ca: target.ca }) })
      : new http.Agent(options);
  const connection: Connection = { target, clock, agent, host };
  return {
    send: (call, signal) => untilItWorks(connection, call, async (response) => response, signal),
    ask: (call) =>
      untilItWorks(connection, call, async (response) => ({
        status: response.statusCode ?? 0,
        headers: response.headers,
        text: await readText(response),
      })),
    host,
    close: () => agent.destroy(),
  };
}

interface Connection {
  target: S3Target;
  clock: Clock;
  agent: http.Agent;
  host: string;
}

async function untilItWorks<T>(
  connection: Connection,
  call: S3Call,
  take: (response: http.IncomingMessage) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const { clock, host } = connection;
  for (let tries = 1; ; tries++) {
    const { result, fault, mayPass } = await tryOnce(connection, call, take, signal);
    if (result !== undefined) return result;
    if (mayPass && tries < MOST_TRIES && signal?.aborted !== true) {
      await clock.sleep(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (tries - 1)), signal);
      continue;
    }
    throw new GweError(
      mayPass ? 'PROTOCOL_OFFLINE' : 'PROTOCOL_REFUSED',
      `cannot ${call.method} ${call.key === '' ? 'the bucket' : 'an object'} at object store '${host}': ${fault}`,
    );
  }
}

interface Outcome<T> {
  result?: T;
  fault?: string;
  /** The same call may succeed soon. */
  mayPass: boolean;
}

async function tryOnce<T>(
  connection: Connection,
  call: S3Call,
  take: (response: http.IncomingMessage) => Promise<T>,
  signal?: AbortSignal,
): Promise<Outcome<T>> {
  try {
    const response = await sendOnce(connection, call, signal);
    const status = response.statusCode ?? 0;
    if ((status >= 200 && status < 300) || status === 404)
      return { result: await take(response), mayPass: false };
    const fault = `${status} ${errorOf(await readText(response))}`.trim();
    return { fault, mayPass: isPassing(status) };
  } catch (error) {
    return { fault: describeError(error) || systemCode(error) || 'no connection', mayPass: true };
  }
}

function isPassing(status: number): boolean {
  return status >= 500 || status === 429 || status === 408;
}

async function sendOnce(
  { target, clock, agent }: Connection,
  call: S3Call,
  signal?: AbortSignal,
): Promise<http.IncomingMessage> {
  const { url, headers } = await sign(target, call, clock);
  const create = url.protocol === 'https:' ? https.request : http.request;
  const done = new AbortController();
  try {
    return await new Promise<http.IncomingMessage>((resolve, reject) => {
      const request = create(url, { method: call.method, headers, agent, ...(signal ? { signal } : {}) });
      request.once('response', resolve);
      // An error after the answer has begun reaches the reader by its stream.
      request.on('error', reject);
      void clock.sleep(ANSWER_MS, done.signal).then(() => {
        if (!done.signal.aborted) request.destroy(new Error(`no answer within ${ANSWER_MS / 1000} s`));
      });
      request.end(call.body);
    });
  } finally {
    done.abort(DONE);
  }
}

async function sign(
  target: S3Target,
  { method, key, query = {}, headers = {}, body }: S3Call,
  clock: Clock,
): Promise<{ url: URL; headers: Record<string, string> }> {
  const url = new URL(`${target.endpoint}/${target.bucket}${key === '' ? '' : `/${key}`}`);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  const signed = await new AwsV4Signer({
    method,
    url: url.href,
    // The store refuses a body that does not match the signed digest.
    headers: {
      ...headers,
      'x-amz-content-sha256': createHash('sha256')
        .update(body ?? '')
        .digest('hex'),
    },
    service: 's3',
    region: target.region,
    accessKeyId: target.keyId,
    secretAccessKey: target.secretKey,
    ...(target.sessionToken === undefined ? {} : { sessionToken: target.sessionToken }),
    datetime: new Date(clock.wallMs()).toISOString().replace(/[:-]|\.\d{3}/g, ''),
  }).sign();
  const length = body === undefined ? {} : { 'content-length': String(body.length) };
  return { url: signed.url, headers: { ...Object.fromEntries(signed.headers), ...length } };
}

async function readText(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > MAX_TEXT_BYTES) throw new Error(`an answer of more than ${MAX_TEXT_BYTES} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}
