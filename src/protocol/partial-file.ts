/** A file that is being downloaded, and the note beside it that says of what. Both outlive the process. */
import * as fs from 'node:fs';
import { dirname } from 'node:path';
import * as v from 'valibot';
import { GweError, wrapError } from '../base/errors.ts';
import { fsyncDirectory, readTextBounded, removeFileDurable, writeFileDurable } from '../base/fs.ts';

/** What the bytes in a partial file are from. There is no ETag: size and time of upload have to do (spec §2.3). */
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
  /** Back to nothing, for a source that has to be taken from its start. */
  restart(): void;
  sync(): void;
  close(): void;
}

const SOURCE = v.object({ id: v.string(), sizeBytes: v.number(), updated: v.number() });

function notePath(path: string): string {
  return `${path}.info`;
}

/** Opens `path` where an earlier download of the same source stopped, else empty. */
export function openPartialFile(path: string, source: PartialSource): PartialFile {
  const doing = `cannot write '${path}'`;
  const guard = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw error instanceof GweError ? error : wrapError(error, 'STORE_IO', doing);
    }
  };
  const isSame = isSameSource(path, source);
  // The note first: bytes without their own note are thrown away, a note without bytes does no harm.
  if (!isSame) {
    guard(() => fs.rmSync(path, { force: true, recursive: false }));
    writeFileDurable(notePath(path), `${JSON.stringify(source)}\n`, 0o600);
  }
  const { O_RDWR, O_CREAT } = fs.constants;
  const fd = guard(() => fs.openSync(path, O_RDWR | O_CREAT, 0o600));
  let sizeBytes = fs.fstatSync(fd).size;
  const truncate = (): void => guard(() => fs.ftruncateSync(fd, 0));
  if (sizeBytes > source.sizeBytes) {
    truncate();
    sizeBytes = 0;
  }
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
    },
    restart() {
      if (sizeBytes > 0) truncate();
      sizeBytes = 0;
    },
    sync: () =>
      guard(() => {
        fs.fsyncSync(fd);
        fsyncDirectory(dirname(path));
      }),
    close: () => fs.closeSync(fd),
  };
}

function isSameSource(path: string, source: PartialSource): boolean {
  const text = readTextBounded(notePath(path), 4096);
  if (text === undefined) return false;
  const note = v.safeParse(v.pipe(v.string(), v.parseJson(), SOURCE), text);
  return (
    note.success &&
    note.output.id === source.id &&
    note.output.sizeBytes === source.sizeBytes &&
    note.output.updated === source.updated
  );
}

/** Bytes of `source` that an earlier download left in `path`; 0 where it left none, or of something else. */
export function partialBytes(path: string, source: PartialSource): number {
  if (!isSameSource(path, source)) return 0;
  const sizeBytes = fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  return sizeBytes > source.sizeBytes ? 0 : sizeBytes;
}

/** Removes a partial file and its note. */
export function removePartialFile(path: string): void {
  removeFileDurable(path);
  removeFileDurable(notePath(path));
}
