/**
 * A text file that people edit: it has a last good copy beside it and no checksum. The copy replaces it only where it
 * holds what a power cut leaves (`isTorn`), or where there is no file to read in its place; not where it is gone, for
 * people remove such files too.
 */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { createSystemClock } from './clock.ts';
import { describeError, GweError } from './errors.ts';
import {
  ensureDirectory,
  type FileAccess,
  readTextBounded,
  removeFileDurable,
  writeFileDurable,
} from './fs.ts';

const CHECKSUM_BYTES = 65;

export function copyPath(path: string): string {
  const directory = dirname(path);
  return directory.endsWith('.d') ? join(copiesOf(directory), basename(path)) : `${path}.copy`;
}

/** Where the copies of a directory `*.d` are. */
export function copiesOf(directory: string): string {
  return `${directory}.copies`;
}

/**
 * The text of the copy of `path`; `undefined` if there is none. Throws JOURNAL_UNREADABLE for one that is damaged,
 * STORE_IO.
 */
export function readCopy(path: string, limitBytes: number): string | undefined {
  const whole = readTextBounded(copyPath(path), limitBytes + CHECKSUM_BYTES);
  if (whole === undefined) return undefined;
  const text = whole.slice(CHECKSUM_BYTES);
  if (whole.slice(0, CHECKSUM_BYTES) === checksumLine(text)) return text;
  throw new GweError('JOURNAL_UNREADABLE', `cannot read '${copyPath(path)}': it does not have its checksum`);
}

export function writeCopy(path: string, text: string, mode?: number): void {
  ensureDirectory(dirname(copyPath(path)));
  writeFileDurable(copyPath(path), `${checksumLine(text)}${text}`, mode);
}

/** One that is not there is fine. */
export function removeCopy(path: string): void {
  removeFileDurable(copyPath(path));
}

/**
 * Whether `text` is what a power cut makes of a file that held `whole`: nothing, NULs, or the beginning of it alone.
 */
export function isTorn(text: string, whole: string): boolean {
  if (text === '' || text.includes('\0')) return true;
  // The cut may have gone through a character.
  const start = text.replace(/\ufffd$/, '');
  return start.length < whole.length && whole.startsWith(start);
}

function checksumLine(text: string): string {
  return `${createHash('sha256').update(text).digest('hex')}\n`;
}

export interface EditedFormat {
  limitBytes: number;
  mode: number;
  /** Whether a text is worth a copy: something that is not such a file must not replace the last good one. */
  isSound(text: string): boolean;
}

/** The text that counts; `undefined` if there is no such file. Throws STORE_IO where neither can be read. */
export function readEdited(path: string, limitBytes: number): string | undefined {
  return look(path, limitBytes).text;
}

/**
 * Replaces the file, which others may read by `access`, and its copy. The old copy goes first: it must not come back
 * behind a new key or identity.
 */
export function writeEdited(
  path: string,
  text: string,
  format: Pick<EditedFormat, 'mode'>,
  access: FileAccess = format,
): void {
  removeCopy(path);
  writeFileDurable(path, text, access);
  try {
    writeCopy(path, text, format.mode);
  } catch {
    // The file is written, as requested: the next check-in makes the copy.
  }
}

/** The copy first, as in `writeEdited`. */
export function removeEdited(path: string): void {
  removeCopy(path);
  removeFileDurable(path);
}

/**
 * Makes the copy of a file that is sound and was edited, or the file from its copy. Returns what is wrong with the
 * file, and what was done. Writes nothing where all is well.
 */
export function keepEdited(path: string, format: EditedFormat): string | undefined {
  const { text, own, found } = look(path, format.limitBytes);
  if (text === undefined) return undefined;
  if (found !== undefined) {
    // A file that the disk does not give, or that is too long, is left: it may be given again, or hold somebody's work.
    if (own === undefined && found.isFile)
      return `${found.what}; its last good copy, '${copyPath(path)}', is used until it can be read`;
    writeFileDurable(path, text, format.mode);
    return `${found.what}; its last good copy is back in its place (to shorten the file permanently, remove '${copyPath(path)}' too)`;
  }
  if (format.isSound(text) && attemptCopy(path, format.limitBytes) !== text)
    writeCopy(path, text, format.mode);
  return undefined;
}

interface Look {
  text: string | undefined;
  /** What the file itself holds, if it can be read. */
  own?: string;
  /** Why the copy counts. */
  found?: { what: string; isFile: boolean };
}

function look(path: string, limitBytes: number): Look {
  let own: string | undefined;
  try {
    own = readTextBounded(path, limitBytes);
  } catch (error) {
    const copy = attemptCopy(path, limitBytes);
    if (copy === undefined) throw error;
    const isFile = statSync(path, { throwIfNoEntry: false })?.isFile() !== false;
    return { text: copy, found: { what: describeError(error), isFile } };
  }
  if (own === undefined) return { text: undefined };
  const copy = attemptCopy(path, limitBytes);
  if (copy === undefined || !isTorn(own, copy)) return { text: own, own };
  return { text: copy, own, found: { what: `'${path}' ${describeTear(own)}`, isFile: true } };
}

function describeTear(text: string): string {
  if (text === '') return 'was empty';
  return text.includes('\0') ? 'held NULs' : 'was only the beginning of what it held';
}

function attemptCopy(path: string, limitBytes: number): string | undefined {
  try {
    return readCopy(path, limitBytes);
  } catch {
    return undefined;
  }
}

/**
 * The times of a file move in steps of a few milliseconds: what was changed this recently may be changed once more
 * without a sign of it, and is read again.
 */
const SETTLED_MS = 2000;

/**
 * `read`, whose result depends on the file at `path` and its copy, and on nothing else. To look at them costs a tenth of
 * reading them: a check-in asks for its settings dozens of times. What `read` throws is not kept.
 */
export function readWhenChanged<T>(path: string, read: () => T): () => T {
  const paths = [path, copyPath(path)];
  const { wallMs } = createSystemClock();
  let last: { stamp: string; value: T } | undefined;
  return () => {
    // Before the read: what is changed in between has another stamp at the next look.
    const stamp = stampOf(paths, wallMs());
    if (last !== undefined && last.stamp === stamp) return last.value;
    last = undefined;
    const value = read();
    if (stamp !== undefined) last = { stamp, value };
    return value;
  };
}

/** Differs whenever a file was changed, replaced, made or removed; `undefined` where that cannot be said. */
function stampOf(paths: readonly string[], nowMs: number): string | undefined {
  let stamp = '';
  try {
    for (const path of paths) {
      const found = statSync(path, { bigint: true, throwIfNoEntry: false });
      if (found !== undefined && Math.abs(nowMs - Number(found.ctimeMs)) < SETTLED_MS) return undefined;
      stamp += found === undefined ? '-;' : `${found.dev},${found.ino},${found.size},${found.ctimeNs};`;
    }
  } catch {
    return undefined;
  }
  return stamp;
}
