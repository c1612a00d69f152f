/** A body that becomes content: passed to the storage as it arrives, bounded, and never held in memory. */
import { GweError } from '../../base/errors.ts';
import { MAX_CONTENT_BYTES } from '../bounds.ts';
import type { Upload } from '../storage/content-storage.ts';
import type { Storage } from '../storage/storage.ts';
import { declaredLength, type Exchange, Refusal } from './exchange.ts';

const UPLOAD_IDLE_MS = 60_000;

/**
 * Writes a request's body to the disk; `look` sees each piece. Refuses with 413 what is over the limit, and with 507
 * what there is no room for.
 */
export async function receiveUpload(
  storage: Storage,
  exchange: Exchange,
  look?: (piece: Uint8Array) => void,
): Promise<Upload> {
  if (declaredLength(exchange) > MAX_CONTENT_BYTES) throw tooLarge();
  try {
    exchange.request.setTimeout(UPLOAD_IDLE_MS, () => exchange.request.destroy());
    // The request itself must not be destroyed by a refusal, so that the client can read the answer.
    const body = exchange.request.iterator({ destroyOnReturn: false });
    return await storage.receive(look === undefined ? body : looked(body, look), MAX_CONTENT_BYTES);
  } catch (error) {
    if (error instanceof GweError && error.code === 'PROTOCOL_TOO_LARGE') throw tooLarge();
    if (error instanceof GweError && error.code === 'STORE_NO_SPACE') {
      throw new Refusal(507, 'cannot upload content: no space left');
    }
    throw error;
  }
}

async function* looked(
  body: AsyncIterable<Uint8Array>,
  look: (piece: Uint8Array) => void,
): AsyncGenerator<Uint8Array> {
  for await (const piece of body) {
    look(piece);
    yield piece;
  }
}

function tooLarge(): Refusal {
  return new Refusal(413, `cannot upload content: expected at most ${MAX_CONTENT_BYTES} bytes`);
}
