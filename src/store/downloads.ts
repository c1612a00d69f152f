/** What broken-off downloads have left, by the item that they are of. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { listDirectory, removeFileDurable } from '../base/fs.ts';
import type { Layout } from './layout.ts';

export interface LeftDownload {
  contentId: string;
  /** The bytes themselves, and the notes beside them. */
  files: string[];
  sizeBytes: number;
  /** Of the last write, by the wall clock of that time. */
  writtenMs: number;
}

const NOTES = /(\.(info|index))+$/;

/** The ones written last come first. */
export function listDownloads(layout: Layout): LeftDownload[] {
  const found = new Map<string, LeftDownload>();
  for (const name of listDirectory(layout.downloadsDirectory).filter((each) => !each.startsWith('.'))) {
    const path = join(layout.downloadsDirectory, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat?.isFile() !== true) continue;
    const contentId = name.replace(NOTES, '');
    const left = found.get(contentId) ?? { contentId, files: [], sizeBytes: 0, writtenMs: 0 };
    found.set(contentId, {
      contentId,
      files: [...left.files, path],
      sizeBytes: left.sizeBytes + stat.size,
      writtenMs: Math.max(left.writtenMs, stat.mtimeMs),
    });
  }
  return [...found.values()].sort((a, b) => b.writtenMs - a.writtenMs);
}

/** The bytes go first: notes without them do no harm. */
export function removeDownload(left: LeftDownload): void {
  for (const file of [...left.files].sort((a, b) => a.length - b.length)) removeFileDurable(file);
}
