/** The newest release list that this gateway has seen, and what it was told of it. */
import * as v from 'valibot';
import { decodeReleaseList, MOST_LIST_BYTES, type SignedList } from '../artifact/manifest/release-list.ts';
import { GweError } from '../base/errors.ts';
import { type StoredFile, storedFile } from '../base/stored-file.ts';
import type { Layout } from './layout.ts';
import { createReleaseStore } from './trust.ts';

/** No app can have the name. */
const LIST_RELEASE = '#releases';

const ListFileSchema = v.object({
  version: v.literal(1),
  release: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  /** As it came. */
  text: v.pipe(v.string(), v.maxLength(MOST_LIST_BYTES)),
  /** What the platform said of the item. */
  item: v.object({ sizeBytes: v.number(), updated: v.number() }),
});
type ListFile = v.InferOutput<typeof ListFileSchema>;

/** The newer of both copies counts. */
function releaseListFile(path: string): StoredFile<ListFile> {
  const merge = (file: ListFile, copy: ListFile): ListFile => (copy.release > file.release ? copy : file);
  // Escapes make the text longer, twice at most: canonical JSON has quotes and no control characters that it may have.
  return storedFile(path, { schema: ListFileSchema, limitBytes: 3 * MOST_LIST_BYTES, copy: { merge } });
}

export interface SeenList extends SignedList {
  item: ListFile['item'];
}

/** `undefined` where none was seen, or what was is damaged. Throws STORE_IO. */
export function readReleaseList({ releaseList }: Pick<Layout, 'releaseList'>): SeenList | undefined {
  try {
    const found = releaseListFile(releaseList).read();
    return found === undefined
      ? undefined
      : { ...decodeReleaseList(Buffer.from(found.text)), item: found.item };
  } catch (error) {
    const isDamaged =
      error instanceof GweError && (error.code === 'JOURNAL_UNREADABLE' || error.code === 'ARTIFACT_FORMAT');
    if (isDamaged) return undefined;
    throw error;
  }
}

/** The highest release of a list that was ever accepted, also where the list itself is lost. Throws STORE_IO. */
export function highestListRelease({ releases }: Pick<Layout, 'releases'>): number | undefined {
  return createReleaseStore(releases).highest(LIST_RELEASE);
}

/** The number first: cut off in between, no lower one is accepted. Throws STORE_NO_SPACE, STORE_IO. */
export function keepReleaseList(
  layout: Pick<Layout, 'releases' | 'releaseList'>,
  bytes: Buffer,
  { release, item }: Pick<ListFile, 'release' | 'item'>,
): void {
  createReleaseStore(layout.releases).saw(LIST_RELEASE, release);
  releaseListFile(layout.releaseList).write({ version: 1, release, text: bytes.toString('utf8'), item });
}
