/**
 * What downloads have left on the disk, by the item of the content area that it is of: the names of its files, once.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { listDirectory } from '../base/fs.ts';
import { noteOf, notePath, removePartialFile } from '../protocol/partial-file.ts';
import type { Layout } from './layout.ts';

type Downloads = Pick<Layout, 'downloadsDirectory'>;

/** Where what is fetched of one item goes, so that a repeated command continues where the last one stopped. */
interface ItemFiles {
  /** The tarball as a whole. */
  whole: string;
  /** The first bytes of an item whose chunks are fetched. */
  index: string;
  /** What was fetched of a patch to it. */
  patch: string;
  /** Those that are there, notes included. */
  list(): string[];
  remove(): void;
}

/** Every content id ends in `.tar.gz`, so none of them is another one with a suffix. */
const SUFFIXES = { whole: '', index: '.index', patch: '.patch' } as const;

/** The only place that knows the names; each file has its note (`protocol/partial-file`) beside it. */
export function itemFiles({ downloadsDirectory }: Downloads, contentId: string): ItemFiles {
  const at = (suffix: string): string => join(downloadsDirectory, `${contentId}${suffix}`);
  const files = { whole: at(SUFFIXES.whole), index: at(SUFFIXES.index), patch: at(SUFFIXES.patch) };
  const paths = Object.values(files);
  return {
    ...files,
    list: () => withNotes(paths).filter((path) => statFile(path) !== undefined),
    remove() {
      for (const path of paths) removePartialFile(path);
    },
  };
}

export interface StoredDownload {
  contentId: string;
  files: ItemFiles;
  sizeBytes: number;
  inodes: number;
  /** When it was last written, by the wall clock of that time. */
  writtenMs: number;
}

/** What is there of every item but those of `except`. The ones written last come first. */
export function listDownloads(layout: Downloads, except: readonly string[] = []): StoredDownload[] {
  const passedOver = new Set(except.flatMap((id) => itemFiles(layout, id).list()));
  const found = new Map<string, StoredDownload>();
  for (const name of listDirectory(layout.downloadsDirectory).filter((each) => !each.startsWith('.'))) {
    const path = join(layout.downloadsDirectory, name);
    const stat = passedOver.has(path) ? undefined : statFile(path);
    if (stat === undefined) continue;
    const contentId = itemOf(name);
    const files = itemFiles(layout, contentId);
    const known = found.get(contentId) ?? { contentId, files, sizeBytes: 0, inodes: 0, writtenMs: 0 };
    found.set(contentId, {
      ...known,
      sizeBytes: known.sizeBytes + stat.size,
      inodes: known.inodes + 1,
      writtenMs: Math.max(known.writtenMs, stat.mtimeMs),
    });
  }
  return [...found.values()].sort((a, b) => b.writtenMs - a.writtenMs);
}

/** The item that a file is of; one of `itemFiles` of it is that file again. */
function itemOf(name: string): string {
  const bytes = noteOf(name) ?? name;
  const suffix = Object.values(SUFFIXES).find((each) => each !== '' && bytes.endsWith(each)) ?? '';
  return bytes.slice(0, bytes.length - suffix.length);
}

function withNotes(paths: readonly string[]): string[] {
  return paths.flatMap((path) => [path, notePath(path)]);
}

function statFile(path: string) {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true ? stat : undefined;
}
