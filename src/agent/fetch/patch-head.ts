/** The first bytes of a patch, which say what is in the others: from the content area, and from the disk. */
import { closeSync, openSync, readSync } from 'node:fs';
import { decodeDirectory, directoryBytes, MOST_CHUNKS, PREFIX_BYTES } from '../../artifact/patch/format.ts';
import { describeError, GweError } from '../../base/errors.ts';
import { fetchPart } from '../../protocol/content-part.ts';
import type { PartialSource } from '../../protocol/partial-file.ts';
import { DEFAULT_RETRY_POLICY } from '../../protocol/retry.ts';
import type { AgentContext } from '../run/context.ts';
import type { Item } from './item.ts';

/** A patch is fetched for the item that it leads to. */
type Transfer = Pick<Item, 'api' | 'signal' | 'counts'>;

/** The directory of most patches, and many a patch as a whole. */
const FIRST_BYTES = 16 * 1024;
/** A patch only saves bytes: it is not worth the minutes that an item is. */
const RETRIES = { ...DEFAULT_RETRY_POLICY, tries: 3 };

/** The first bytes of a patch, the index part included, by one request or two; `undefined` where there is no patch. */
export async function askForHead(
  context: Pick<AgentContext, 'log'>,
  item: Transfer,
  id: string,
): Promise<{ head: Buffer; sizeBytes: number } | undefined> {
  try {
    return await fetchHead(context, item, id);
  } catch (error) {
    if (item.signal.aborted || !(error instanceof GweError)) throw error;
    if (error.code !== 'DOWNLOAD_NOT_FOUND') context.log.info('patch.skip', { id }, describeError(error));
    return undefined;
  }
}

async function fetchHead(
  context: Pick<AgentContext, 'log'>,
  { api, signal, counts }: Transfer,
  id: string,
): Promise<{ head: Buffer; sizeBytes: number }> {
  const size: { learnt?: number } = {};
  const sizeBytes = (): number => size.learnt ?? FIRST_BYTES;
  let head: Buffer = Buffer.alloc(0);
  for (
    let wanted = FIRST_BYTES;
    head.length < Math.min(wanted, sizeBytes());
    wanted = headBytes(head, sizeBytes())
  ) {
    const stretch = { id, start: head.length, end: wanted - 1, sizeBytes: size };
    const pieces = [head];
    for await (const piece of fetchPart(api, {
      ...stretch,
      signal,
      log: context.log,
      counts,
      retries: RETRIES,
    }))
      pieces.push(piece);
    head = Buffer.concat(pieces);
  }
  return { head, sizeBytes: sizeBytes() };
}

/** Bytes of the directory and the index part, as far as `head` tells of them. Throws ARTIFACT_PATCH. */
function headBytes(head: Buffer, sizeBytes: number): number {
  const bytes = directoryBytes(head);
  if (head.length < bytes) return bytes;
  const { index } = decodeDirectory(head, sizeBytes, MOST_CHUNKS);
  return index === undefined ? bytes : index.offset + index.sizeBytes;
}

/** The same of a patch of which `keptBytes` are in `path`; fewer bytes where there are no more. Throws ARTIFACT_PATCH. */
export function readKeptHead(
  path: string,
  { keptBytes, sizeBytes }: PartialSource & { keptBytes: number },
): Buffer {
  let head = readStretch(path, 0, Math.min(keptBytes, PREFIX_BYTES));
  // The prefix tells how long the directory is, and that where the index part ends.
  for (let i = 0; i < 2; i++) head = readStretch(path, 0, Math.min(keptBytes, headBytes(head, sizeBytes)));
  return head;
}

/** Fewer bytes where the file ends; none without a file. */
export function readStretch(path: string, offset: number, sizeBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(sizeBytes);
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return Buffer.alloc(0);
  }
  try {
    let done = 0;
    while (done < sizeBytes) {
      const count = readSync(fd, bytes, done, sizeBytes - done, offset + done);
      if (count === 0) break;
      done += count;
    }
    return bytes.subarray(0, done);
  } finally {
    closeSync(fd);
  }
}
