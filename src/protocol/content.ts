/** A download that continues where it stopped: after a lost connection, and after a restart of gwe. */
import { GweError } from '../base/errors.ts';
import { type ContentApi, type ContentInfo, contentInfo } from './content-api.ts';
import { openPartialFile, type PartialFile, removePartialFile } from './partial-file.ts';
import { changed, downloadError, isWorthRetrying } from './retry.ts';
import { checkContentRange, receive, resume, type TransferOptions, WrongRange } from './transfer.ts';
import type { StreamResponse } from './transport-types.ts';

export interface DownloadOptions extends TransferOptions {
  /** Where the bytes go; a note beside it says which item they belong to. */
  partialFile: string;
  /** As `contentInfo` said just now. */
  expected: Pick<ContentInfo, 'sizeBytes' | 'updated' | 'digest'>;
  /** The largest item taken. */
  maxBytes: number;
  onProgress?(haveBytes: number, sizeBytes: number): void;
  /** Who is given the bytes as they come, where nothing is here yet. */
  beside?: Beside | undefined;
}

interface Beside {
  /** Takes over a piece that has been written. The next one waits for a promise that it returns. */
  write(piece: Buffer): Promise<void> | undefined;
  /** What came so far is not what the item begins with. */
  drop(): void;
  /** All of it came. True where the bytes have done what they were fetched for: they need not get to the disk. */
  isDone(): Promise<boolean>;
}

/**
 * With somebody beside, the file is only there to go on from: what comes in such a time may be fetched again after a power
 * cut. A fast line has brought all of it by then, and it is removed before the system writes it to the disk.
 */
const SYNC_BESIDE_MS = 5000;

interface DownloadResult {
  /** Content bytes that came over the wire in this call, those thrown away included. */
  bytesFetched: number;
  /** Bytes that were there at the start. */
  resumedFrom: number;
  sizeBytes: number;
}

/**
 * Fetches an item into `file`, whole and synced when it returns. Its digest is for the caller to check.
 * Retries as long as bytes keep coming between failures. Throws DOWNLOAD_NOT_FOUND, DOWNLOAD_REFUSED (a 4xx that
 * will not change), DOWNLOAD_TOO_LARGE, DOWNLOAD_CHANGED (another file under the same id: ask for info again),
 * DOWNLOAD_INCOMPLETE (given up for now, the part stays), PROTOCOL_UNAUTHORIZED, STORE_NO_SPACE, STORE_IO, CANCELLED.
 */
export async function downloadContent(api: ContentApi, options: DownloadOptions): Promise<DownloadResult> {
  const { id, expected, maxBytes } = options;
  if (expected.sizeBytes > maxBytes) {
    throw new GweError(
      'DOWNLOAD_TOO_LARGE',
      `cannot download '${id}': it has ${expected.sizeBytes} bytes, expected at most ${maxBytes}`,
    );
  }
  const { sizeBytes, updated } = expected;
  const { beside } = options;
  const syncing = beside === undefined ? {} : { syncEveryMs: SYNC_BESIDE_MS };
  const file = openPartialFile(options.partialFile, { id, sizeBytes, updated }, syncing);
  const state: State = { api, options, file, bytesFetched: 0, mayRange: true };
  const resumedFrom = file.sizeBytes;
  try {
    await fetchAll(state);
    if ((await beside?.isDone()) !== true) file.sync();
    return { bytesFetched: state.bytesFetched, resumedFrom, sizeBytes };
  } catch (error) {
    // These bytes belong to a file other than the info describes: there is nothing to continue from.
    const isWorthless =
      error instanceof GweError && (error.code === 'DOWNLOAD_TOO_LARGE' || error.code === 'DOWNLOAD_CHANGED');
    if (isWorthless) removePartialFile(options.partialFile);
    throw error;
  } finally {
    file.close();
  }
}

interface State {
  api: ContentApi;
  options: DownloadOptions;
  file: PartialFile;
  bytesFetched: number;
  /** False once the server has answered a range with nonsense: then only the whole item is requested. */
  mayRange: boolean;
}

async function fetchAll(state: State): Promise<void> {
  const { api, options, file } = state;
  const pieces = resume(api.clock, options, {
    isDone: () => file.sizeBytes >= options.expected.sizeBytes,
    position: () => file.sizeBytes,
    fetchOnce: () => fetchOnce(state),
    facts: () => ({ haveBytes: file.sizeBytes }),
    givenUp: (failures, cause) => givenUp(state, failures, cause),
    async beforeRetry() {
      if (state.mayRange) await assertStillSame(state);
    },
  });
  for await (const piece of pieces) {
    takePiece(state, piece);
    const room = options.beside?.write(piece);
    if (room !== undefined) await room;
  }
}

/**
 * Without a digest nothing would show that the file was exchanged under our hands by one of the same size, so info is
 * asked again before going on. With one, the caller's check does, and the request is saved. Offline counts as same:
 * the next request will tell.
 */
async function assertStillSame(state: State): Promise<void> {
  const { api, options, file } = state;
  const { expected, id, signal } = options;
  if (expected.digest !== undefined || file.sizeBytes === 0) return;
  let now: ContentInfo | undefined;
  try {
    now = await contentInfo(api, id, signal);
  } catch (error) {
    if (isWorthRetrying(error)) return;
    throw error;
  }
  if (now === undefined)
    throw new GweError('DOWNLOAD_NOT_FOUND', `cannot download '${id}': it was deleted meanwhile`);
  if (now.sizeBytes !== expected.sizeBytes || now.updated !== expected.updated)
    throw changed(id, 'its info changed');
}

/** One request from where the file ends. A server that cannot do ranges is asked for the whole item from then on. */
async function* fetchOnce(state: State): AsyncGenerator<Buffer, void, undefined> {
  const { api, options, file } = state;
  if (!state.mayRange) restart(state);
  const start = file.sizeBytes;
  const range = start === 0 ? undefined : { start };
  try {
    const isPinned = options.expected.digest !== undefined;
    yield* receive(api, { ...options, isPinned }, range, (response) => checkAnswer(state, response, start));
  } catch (error) {
    if (error instanceof WrongRange) state.mayRange = false;
    throw error;
  }
}

function takePiece(state: State, piece: Buffer): void {
  const { options, file } = state;
  const { expected, id } = options;
  state.bytesFetched += piece.length;
  if (file.sizeBytes + piece.length > expected.sizeBytes) {
    throw new GweError(
      'DOWNLOAD_TOO_LARGE',
      `cannot download '${id}': the platform sends more than the ${expected.sizeBytes} bytes that its info tells of`,
    );
  }
  file.append(piece);
  options.onProgress?.(file.sizeBytes, expected.sizeBytes);
}

/** Sets the file to where the answer's bytes belong, or throws. */
function checkAnswer(state: State, response: StreamResponse, start: number): void {
  const { api, options } = state;
  const { id, expected } = options;
  const { status } = response;
  if ((status === 416 || status === 412) && start > 0)
    throw new WrongRange(id, `status ${status} for the rest from byte ${start}, starting over`);
  if (status !== 200 && status !== 206) throw downloadError(api, id, response);
  if (checkContentRange(id, response, { start }, () => expected.sizeBytes) === 'all') restart(state);
}

function restart({ file, options }: Pick<State, 'file' | 'options'>): void {
  if (file.sizeBytes > 0) options.beside?.drop();
  file.restart();
}

function givenUp(state: State, failures: number, cause: unknown): GweError {
  const { id, expected } = state.options;
  const have = state.file.sizeBytes;
  return new GweError(
    'DOWNLOAD_INCOMPLETE',
    `cannot download '${id}': ${have} of ${expected.sizeBytes} bytes after ${failures} tries without progress; the part is kept`,
    { cause, facts: { haveBytes: have, sizeBytes: expected.sizeBytes } },
  );
}
