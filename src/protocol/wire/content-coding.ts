/** Bodies that came compressed unasked: some middleboxes and servers compress everything. */
import { Readable } from 'node:stream';
import { constants, createGunzip, gunzipSync } from 'node:zlib';

/** How `Content-Encoding` names it. */
export function isGzip(encoding: string | null): boolean {
  return /^(x-)?gzip$/i.test(encoding?.trim() ?? '');
}

function startsAsGzip(bytes: Buffer): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * The bytes of a body that is said to be gzip data; those of `chunks` where they do not look it. `isTarball`: what was
 * asked for is gzip data itself, and some servers say so of it: only what has been compressed twice is unpacked.
 */
export async function* plainBody(
  chunks: AsyncIterable<Buffer>,
  isTarball: boolean,
): AsyncGenerator<Buffer, void, undefined> {
  const iterator = chunks[Symbol.asyncIterator]();
  try {
    const first = await iterator.next();
    if (first.done === true) return;
    const all = withFirst(first.value, iterator);
    if (!startsAsGzip(first.value) || (isTarball && !startsAsGzip(beginningOf(first.value)))) {
      yield* all;
      return;
    }
    const source = Readable.from(all);
    const gunzip = createGunzip();
    source.on('error', (error) => gunzip.destroy(error));
    yield* source.pipe(gunzip) as AsyncIterable<Buffer>;
  } finally {
    await iterator.return?.();
  }
}

async function* withFirst(
  first: Buffer,
  rest: AsyncIterator<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  yield first;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}

function beginningOf(bytes: Buffer): Buffer {
  try {
    return gunzipSync(bytes.subarray(0, 1024), { finishFlush: constants.Z_SYNC_FLUSH });
  } catch {
    return bytes.subarray(0, 0);
  }
}
