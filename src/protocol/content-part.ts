/** A stretch of a content item, byte by byte, even if connections break. */
import { GweError } from '../base/errors.ts';
import type { ContentApi } from './content-api.ts';
import { changed, downloadError, RangesIgnored } from './retry.ts';
import { checkContentRange, receive, resume, type TransferOptions } from './transfer.ts';
import type { StreamResponse } from './transport-types.ts';

export interface PartOptions extends TransferOptions {
  /** The first and the last byte; of an item whose size is not known yet, what is there of them. */
  start: number;
  end: number;
  /** Bytes of the whole item, as its info said, or as it turns out. */
  sizeBytes: number | { learnt?: number };
}

interface State {
  api: ContentApi;
  options: PartOptions;
  /** The next byte wanted, and the last one. */
  at: number;
  end: number;
}

/**
 * The bytes from `start` to `end`. Goes on where a connection broke, as long as bytes keep coming between failures.
 * Throws RangesIgnored before the first byte, DOWNLOAD_NOT_FOUND, DOWNLOAD_REFUSED, DOWNLOAD_CHANGED (an item of
 * another size: request info again), DOWNLOAD_INCOMPLETE (given up for now), PROTOCOL_UNAUTHORIZED, CANCELLED.
 */
export function fetchPart(api: ContentApi, options: PartOptions): AsyncGenerator<Buffer, void, undefined> {
  const state: State = { api, options, at: options.start, end: options.end };
  return resume(api.clock, options, {
    isDone: () => state.at > state.end,
    position: () => state.at,
    fetchOnce: () => fetchOnce(state),
    facts: () => ({ at: state.at }),
    givenUp: (failures, cause) => givenUp(state, failures, cause),
  });
}

async function* fetchOnce(state: State): AsyncGenerator<Buffer, void, undefined> {
  const { api, options, at, end } = state;
  const check = (response: StreamResponse): void => checkAnswer(state, response);
  for await (const chunk of receive(api, options, { start: at, end }, check)) {
    const wanted = chunk.subarray(0, state.end + 1 - state.at);
    state.at += wanted.length;
    if (wanted.length > 0) yield wanted;
    if (wanted.length < chunk.length) return;
  }
}

function checkAnswer(state: State, response: StreamResponse): void {
  const { api, options, at } = state;
  const { id } = options;
  const { status } = response;
  if (status === 416 || status === 412) throw changed(id, `it has no byte ${at} any more (status ${status})`);
  if (status !== 200 && status !== 206) throw downloadError(api, id, response);
  let sizeBytes = 0;
  const held = checkContentRange(id, response, { start: at, end: state.end }, (toldBytes) => {
    sizeBytes = expectedBytes(state, toldBytes);
    return sizeBytes;
  });
  if (held === 'all' && (at > 0 || state.end + 1 < sizeBytes)) throw new RangesIgnored(id);
}

/** What the item should have; the first answer tells where nothing else has, and how far there is anything to fetch. */
function expectedBytes(state: State, toldBytes: number | undefined): number {
  const { sizeBytes, id } = state.options;
  if (typeof sizeBytes === 'number') return sizeBytes;
  if (sizeBytes.learnt === undefined) {
    if (toldBytes === undefined || !(toldBytes > state.at))
      throw new GweError('PROTOCOL_GARBAGE', `cannot download '${id}': an answer that tells no size`);
    sizeBytes.learnt = toldBytes;
    state.end = Math.min(state.end, toldBytes - 1);
  }
  return sizeBytes.learnt;
}

function givenUp({ options, at }: State, failures: number, cause: unknown): GweError {
  const { id, start, end } = options;
  return new GweError(
    'DOWNLOAD_INCOMPLETE',
    `cannot download '${id}': byte ${at} of ${start}-${end} does not come after ${failures} tries; what is here is kept`,
    { cause, facts: { at } },
  );
}
