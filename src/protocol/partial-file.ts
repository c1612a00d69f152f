/** A file that is being downloaded, and the note beside it that says which item it is. Both outlive the process. */
import * as fs from 'node:fs';
import { dirname } from 'node:path';
import * as v from 'valibot';
import { type Clock, createSystemClock } from '../base/clock.ts';
import { GweError, wrapError } from '../base/errors.ts';
import {
  fsyncDirectory,
  readTextBounded,
  removeFileDurable,
  unlinkIfThere,
  writeFileDurable,
} from '../base/fs.ts';
import { bootId } from '../base/process.ts';

/**
 * What the bytes in a partial file are from. There is no ETag: size and time of upload have to do (one-platform.md
 * §2.3).
 */
export interface PartialSource {
  id: string;
  sizeBytes: number;
  updated: number;
}

export interface PartialFile {
  /** Bytes that are there. */
  readonly sizeBytes: number;
  /** Throws STORE_NO_SPACE or STORE_IO; what was written before stays. */
  append(chunk: Buffer): void;
  /** Empties the file, for a source that has to be fetched from its start. */
  restart(): void;
  sync(): void;
  close(): void;
}

const NOTE = v.object({
  id: v.string(),
  sizeBytes: v.number(),
  updated: v.number(),
  syncedBytes: v.optional(v.number(), 0),
  bootId: v.optional(v.string(), ''),
});

const NOTE_SUFFIX = '.info';

/** Where the note of a partial file is. */
export function notePath(path: string): string {
  return `${path}${NOTE_SUFFIX}`;
}

/** The partial file that `path` is the note of; `undefined` for what is named like no note. */
export function noteOf(path: string): string | undefined {
  return path.endsWith(NOTE_SUFFIX) ? path.slice(0, -NOTE_SUFFIX.length) : undefined;
}

/**
 * At most so much, or what comes in such a time, is fetched again after a power cut: bytes that were not synced by then
 * may be anything. On a fast line a sync for each mebibyte would be most of the work.
 */
const SYNC_EVERY_BYTES = 1024 * 1024;
const SYNC_EVERY_MS = 500;

interface PartialOptions {
  clock?: Pick<Clock, 'monotonicMs'>;
  /** Instead of half a second. */
  syncEveryMs?: number;
}

/** Opens `path` where an earlier download of the same source stopped, else empty. */
export function openPartialFile(
  path: string,
  source: PartialSource,
  { clock = createSystemClock(), syncEveryMs = SYNC_EVERY_MS }: PartialOptions = {},
): PartialFile {
  const doing = `cannot write '${path}'`;
  const guard = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw error instanceof GweError ? error : wrapError(error, 'STORE_IO', doing);
    }
  };
  const kept = readKept(path, source);
  // The note first: bytes without their own note are thrown away, a note without bytes does no harm.
  if (kept === undefined) {
    guard(() => unlinkIfThere(path));
    writeNote(path, source, 0);
  }
  const fd = guard(() => openOwn(path));
  let sizeBytes = kept?.sizeBytes ?? 0;
  let syncedBytes = kept?.syncedBytes ?? 0;
  let syncedAtMs = clock.monotonicMs();
  if (fs.fstatSync(fd).size > sizeBytes) guard(() => fs.ftruncateSync(fd, sizeBytes));
  if (kept?.isOfThisBoot === false) writeNote(path, source, syncedBytes);
  const sync = (): void =>
    guard(() => {
      fs.fsyncSync(fd);
      if (syncedBytes === 0) fsyncDirectory(dirname(path));
      if (syncedBytes !== sizeBytes) writeNote(path, source, sizeBytes);
      syncedBytes = sizeBytes;
      syncedAtMs = clock.monotonicMs();
    });
  return {
    get sizeBytes() {
      return sizeBytes;
    },
    append(chunk) {
      guard(() => {
        for (let done = 0; done < chunk.length; ) {
          const count = fs.writeSync(fd, chunk, done, chunk.length - done, sizeBytes);
          done += count;
          sizeBytes += count;
        }
      });
      const isDue = clock.monotonicMs() - syncedAtMs >= syncEveryMs;
      if (isDue && sizeBytes - syncedBytes >= SYNC_EVERY_BYTES) sync();
    },
    restart() {
      if (syncedBytes > 0) writeNote(path, source, 0);
      if (sizeBytes > 0) guard(() => fs.ftruncateSync(fd, 0));
      sizeBytes = 0;
      syncedBytes = 0;
    },
    sync,
    close: () => fs.closeSync(fd),
  };
}

/**
 * In a directory that others may write to (`--download-latest` writes where it is called) somebody may have put a
 * file or a link of theirs there. To be called where `readKept` has found nothing foreign, or it has been removed.
 */
function openOwn(path: string): number {
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;
  const how = isThere(path) ? O_RDWR | O_NOFOLLOW : O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
  const fd = fs.openSync(path, how, 0o600);
  if (isOurs(fs.fstatSync(fd))) return fd;
  fs.closeSync(fd);
  throw new GweError(
    'STORE_IO',
    `cannot write '${path}': it is not this user's own file, expected no other there`,
  );
}

function isThere(path: string): boolean {
  return fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function isOwn(path: string): boolean {
  const found = fs.lstatSync(path, { throwIfNoEntry: false });
  return found !== undefined && isOurs(found);
}

function isOurs(found: fs.Stats): boolean {
  return found.isFile() && found.nlink === 1 && found.uid === process.getuid?.();
}

/** The note tells which bytes were synced, and in which boot: within one, what was written is there, synced or not. */
function writeNote(path: string, source: PartialSource, syncedBytes: number): void {
  const { id, sizeBytes, updated } = source;
  const note = { id, sizeBytes, updated, syncedBytes, bootId: bootId() };
  writeFileDurable(notePath(path), `${JSON.stringify(note)}\n`, 0o600);
}

interface Kept {
  /** Bytes that a download can continue from. */
  sizeBytes: number;
  syncedBytes: number;
  isOfThisBoot: boolean;
}

/** What is there of `source`; `undefined` if it belongs to something else, or nothing is there. */
function readKept(path: string, source: PartialSource): Kept | undefined {
  const isForeign = [path, notePath(path)].some((one) => isThere(one) && !isOwn(one));
  const text = isForeign ? undefined : readTextBounded(notePath(path), 4096);
  if (text === undefined) return undefined;
  const note = v.safeParse(v.pipe(v.string(), v.parseJson(), NOTE), text);
  if (!note.success) return undefined;
  const { id, sizeBytes, updated, syncedBytes, bootId: boot } = note.output;
  if (id !== source.id || sizeBytes !== source.sizeBytes || updated !== source.updated) return undefined;
  const isOfThisBoot = boot === bootId();
  const found = fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (found > source.sizeBytes) return { sizeBytes: 0, syncedBytes: 0, isOfThisBoot };
  const synced = Math.min(found, syncedBytes);
  return { sizeBytes: isOfThisBoot ? found : synced, syncedBytes: synced, isOfThisBoot };
}

/** Bytes of `source` that an earlier download left in `path`; 0 where it left none, or of something else. */
export function partialBytes(path: string, source: PartialSource): number {
  return readKept(path, source)?.sizeBytes ?? 0;
}

/** What the bytes in `path` are from, by their note, and how many of them a download can continue from. */
export function partialSource(path: string): (PartialSource & { keptBytes: number }) | undefined {
  const text = readTextBounded(notePath(path), 4096);
  const note = v.safeParse(v.pipe(v.string(), v.parseJson(), NOTE), text);
  if (!note.success) return undefined;
  const { id, sizeBytes, updated } = note.output;
  return { id, sizeBytes, updated, keptBytes: partialBytes(path, note.output) };
}

/** Removes a partial file and its note. Either without the other does no harm, so that they share a sync. */
export function removePartialFile(path: string): void {
  try {
    const [first, last] = [path, notePath(path)].filter(isThere);
    if (last !== undefined && first !== undefined && fs.lstatSync(first).isFile()) unlinkIfThere(first);
    else if (first !== undefined) removeFileDurable(first);
    if (last !== undefined) removeFileDurable(last);
  } catch (error) {
    throw error instanceof GweError ? error : wrapError(error, 'STORE_IO', `cannot remove '${path}'`);
  }
}
