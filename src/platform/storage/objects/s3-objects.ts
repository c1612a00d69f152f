/** Objects in a bucket of an S3 store: uploads in parts, and reads that continue where the store broke off. */
import { createHash, type Hash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { Clock } from '../../../base/clock.ts';
import { describeError, GweError } from '../../../base/errors.ts';
import type { ByteRange } from '../content-storage.ts';
import { type ListedObject, OBJECT_NAME, type ObjectStore } from './object-store.ts';
import { objectsOf, uploadIdOf, uploadsOf } from './s3-answers.ts';
import { createS3Client, type S3Call, type S3Client, type S3Target } from './s3-client.ts';

/** What one upload holds in memory. A store takes at most 10,000 parts: 80 GiB. */
const PART_BYTES = 8 * 1024 * 1024;
/** A store that sends nothing for this long, while a reader waits, is asked again. */
const STALL_MS = 30_000;
/** How many reads in a row may yield no byte. */
const MOST_TRIES = 5;
const PAUSE_MS = 500;

interface Context {
  client: S3Client;
  clock: Clock;
  prefix: string;
}

export function createS3Objects(target: S3Target, clock: Clock): ObjectStore {
  const client = createS3Client(target, clock);
  const context: Context = { client, clock, prefix: target.prefix };
  return {
    put: (name, source, limitBytes) => putObject(context, name, source, limitBytes),
    open: (name) => ({
      read: (range) => Readable.from(readRange(context, name, range), { objectMode: false }),
      close: async () => undefined,
    }),
    async remove(name) {
      await client.ask({ method: 'DELETE', key: target.prefix + name });
    },
    list: () => listObjects(context),
    endOldUploads: (ageSeconds) => endOldUploads(context, ageSeconds),
    claim: (owner) => claim(client, target, owner),
    close: () => client.close(),
  };
}

/** Names the database that the objects belong to: another database would delete them as unknown. */
const OWNER = 'gwe-owner';

async function claim(client: S3Client, { bucket, prefix }: S3Target, owner: string): Promise<void> {
  const where = `bucket '${bucket}' at object store '${client.host}'`;
  const key = prefix + OWNER;
  const ask = (call: S3Call) =>
    client.ask(call).catch((error: unknown) => {
      throw new GweError('PLATFORM_STATE', `cannot use ${where}: ${describeError(error)}`);
    });
  const found = await ask({ method: 'GET', key });
  if (found.status === 200 && found.text !== owner)
    throw new GweError(
      'PLATFORM_STATE',
      `cannot use ${where}: it holds the content of another database, expected a bucket or prefix of its own`,
    );
  if (found.status === 200) return;
  const { status } = await ask({ method: 'PUT', key, body: Buffer.from(owner) });
  if (status === 404)
    throw new GweError('PLATFORM_STATE', `cannot use ${where}: it does not exist; create it and start again`);
}

/** Bytes of the source in parts of equal size, except the last; hashes all of them. */
async function* inParts(
  source: AsyncIterable<Uint8Array>,
  limitBytes: number,
  hash: Hash,
): AsyncGenerator<Uint8Array> {
  let part = Buffer.allocUnsafe(PART_BYTES);
  let [filled, total] = [0, 0];
  for await (const chunk of source) {
    total += chunk.length;
    if (total > limitBytes)
      throw new GweError('PROTOCOL_TOO_LARGE', `cannot store an upload: more than ${limitBytes} bytes`);
    hash.update(chunk);
    for (let at = 0; at < chunk.length; ) {
      const taken = Math.min(chunk.length - at, PART_BYTES - filled);
      part.set(chunk.subarray(at, at + taken), filled);
      at += taken;
      filled += taken;
      if (filled < PART_BYTES) continue;
      yield part;
      part = Buffer.allocUnsafe(PART_BYTES);
      filled = 0;
    }
  }
  if (filled > 0) yield part.subarray(0, filled);
}

async function putObject(
  context: Context,
  name: string,
  source: AsyncIterable<Uint8Array>,
  limitBytes: number,
): Promise<{ sizeBytes: number; sha256: string }> {
  const key = context.prefix + name;
  const hash = createHash('sha256');
  let first: Uint8Array = new Uint8Array();
  let upload: PartUpload | undefined;
  let sizeBytes = 0;
  try {
    for await (const part of inParts(source, limitBytes, hash)) {
      // A single part becomes an object by itself; only the next part shows whether it stays the only one.
      if (sizeBytes === 0 && part.length < PART_BYTES) first = part;
      else {
        upload ??= await beginUpload(context, key);
        await upload.add(part);
      }
      sizeBytes += part.length;
    }
    if (upload === undefined) await putWhole(context, key, first);
    else await upload.complete(sizeBytes);
  } catch (error) {
    await upload?.abort().catch(() => undefined);
    throw error;
  }
  return { sizeBytes, sha256: hash.digest('hex') };
}

async function putWhole({ client }: Context, key: string, body: Uint8Array): Promise<void> {
  const { status } = await client.ask({ method: 'PUT', key, body });
  if (status === 404) throw lost(client);
}

interface PartUpload {
  add(part: Uint8Array): Promise<void>;
  complete(sizeBytes: number): Promise<void>;
  abort(): Promise<void>;
}

async function beginUpload({ client }: Context, key: string): Promise<PartUpload> {
  const begun = await client.ask({ method: 'POST', key, query: { uploads: '' } });
  if (begun.status === 404) throw lost(client);
  const uploadId = uploadIdOf(begun.text);
  const etags: string[] = [];
  return {
    async add(body) {
      const partNumber = String(etags.length + 1);
      const { status, headers } = await client.ask({
        method: 'PUT',
        key,
        query: { partNumber, uploadId },
        body,
      });
      if (status === 404 || headers.etag === undefined) throw lost(client);
      etags.push(headers.etag);
    },
    async complete(sizeBytes) {
      const parts = etags.map(
        (etag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag}</ETag></Part>`,
      );
      const body = Buffer.from(`<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`);
      await client.ask({ method: 'POST', key, query: { uploadId }, body });
      // The answer may be an error behind a 200, or a 404 to a second try after the first succeeded: only the object
      // itself shows which.
      const { headers } = await client.ask({ method: 'HEAD', key });
      if (Number(headers['content-length'] ?? -1) !== sizeBytes) throw lost(client);
    },
    async abort() {
      await client.ask({ method: 'DELETE', key, query: { uploadId } });
    },
  };
}

function lost({ host }: S3Client): GweError {
  return new GweError(
    'PROTOCOL_OFFLINE',
    `cannot store an upload at object store '${host}': what was sent is not there`,
  );
}

/** Yields no bytes if `last` is before `first`. */
async function* readRange(
  context: Context,
  name: string,
  { first, last }: ByteRange,
): AsyncGenerator<Buffer> {
  let at = first;
  for (let tries = 0; at <= last; tries++) {
    const before = at;
    try {
      for await (const chunk of readFrom(context, name, { first: at, last })) {
        at += chunk.length;
        yield chunk;
      }
    } catch (error) {
      if (at > before) tries = 0;
      if (tries >= MOST_TRIES || (error instanceof GweError && !error.isTransient)) throw error;
      await context.clock.sleep(PAUSE_MS);
      continue;
    }
    if (at <= last) throw new GweError('DOWNLOAD_INCOMPLETE', 'cannot read an object: it is too short');
  }
}

/** Makes one request, and ends it when the reader stops. */
async function* readFrom(context: Context, name: string, range: ByteRange): AsyncGenerator<Buffer> {
  const ending = new AbortController();
  const call = {
    method: 'GET',
    key: context.prefix + name,
    headers: { range: `bytes=${range.first}-${range.last}` },
  } as const;
  try {
    const response = await context.client.send(call, ending.signal);
    if (response.statusCode !== 206) throw unexpected(context.client, response);
    const chunks: AsyncIterator<unknown> = response[Symbol.asyncIterator]();
    for (let left = range.last - range.first + 1; ; ) {
      const { done, value } = await withinStall(context.clock, ending, chunks.next());
      if (done === true && left > 0) throw new Error('the object store ended its answer early');
      if (done === true) return;
      if (!(value instanceof Uint8Array) || value.length > left)
        throw new Error('the object store sent more than was asked for');
      left -= value.length;
      yield Buffer.from(value.buffer, value.byteOffset, value.length);
    }
  } finally {
    ending.abort(new Error('nobody reads this object any more'));
  }
}

function unexpected({ host }: S3Client, response: IncomingMessage): GweError {
  const found = response.statusCode === 404 ? 'it is not there' : `answered ${response.statusCode}`;
  return new GweError('STORE_IO', `cannot read an object at object store '${host}': ${found}`);
}

async function withinStall<T>(clock: Clock, ending: AbortController, work: Promise<T>): Promise<T> {
  const done = new AbortController();
  void clock.sleep(STALL_MS, done.signal).then(() => {
    if (!done.signal.aborted) ending.abort(new Error(`no byte within ${STALL_MS / 1000} s`));
  });
  try {
    return await work;
  } finally {
    done.abort('a byte came');
  }
}

async function* listObjects({ client, prefix }: Context): AsyncGenerator<ListedObject> {
  for (let token: string | undefined; ; ) {
    const query = {
      'list-type': '2',
      prefix,
      ...(token === undefined ? {} : { 'continuation-token': token }),
    };
    const { text } = await client.ask({ method: 'GET', key: '', query });
    const { objects, next } = objectsOf(text);
    for (const { key, ...rest } of objects) {
      const name = key.slice(prefix.length);
      if (OBJECT_NAME.test(name)) yield { name, ...rest };
    }
    if (next === undefined || next === '') return;
    token = next;
  }
}

async function endOldUploads({ client, clock, prefix }: Context, ageSeconds: number): Promise<void> {
  const { status, text } = await client.ask({ method: 'GET', key: '', query: { uploads: '', prefix } });
  if (status === 404) return;
  const before = clock.wallMs() / 1000 - ageSeconds;
  for (const { key, id, startedAt } of uploadsOf(text))
    if (startedAt < before && OBJECT_NAME.test(key.slice(prefix.length)))
      await client.ask({ method: 'DELETE', key, query: { uploadId: id } });
}
