/**
 * A JSON file that gwe keeps something in: the one place where such a file is read, bounded, checked and written.
 * What a file may hold and what it is for stays with whoever owns it.
 */
import { dirname } from 'node:path';
import * as v from 'valibot';
import { readCopy, removeCopy, writeCopy } from './edited-file.ts';
import { describeError, GweError, systemCode } from './errors.ts';
import { ensureDirectory, moveAside, readTextBounded, removeFileDurable, writeFileDurable } from './fs.ts';

interface StoredFormat<T> {
  schema: v.GenericSchema<unknown, T>;
  /** A larger file is damaged: it is not even read. */
  limitBytes: number;
  /** 0644 unless it says otherwise. */
  mode?: number;
  /**
   * There is a last good copy beside it, for where the file is missing or damaged. Where both can be read this says
   * what counts; without it, the file does.
   */
  copy?: { merge?(file: T, copy: T): T };
}

export interface StoredFile<T> {
  /**
   * What it holds; `undefined` where there is no file. Throws JOURNAL_UNREADABLE for one that is damaged, STORE_IO
   * where the disk does not give it.
   */
  read(): T | undefined;
  /** As `read`, where nothing is lost with a file that is damaged or cannot be read: it counts as none. */
  readOr<D>(otherwise: D): T | D;
  /**
   * Replaces it, and makes its directory. One that the disk does not give now may be whole: it is moved aside, not
   * replaced. Throws STORE_NO_SPACE, STORE_IO.
   */
  write(value: T): void;
  /** One that is not there is fine. */
  remove(): void;
  /** Moves a damaged file out of the way of the next one; returns its new path. */
  setAside(): string;
  /**
   * Rewrites the file or its copy where it is damaged or behind; where the disk does not give one of them, the other
   * counts until it does. Returns what was wrong with the file; `undefined` if nothing was, or if there is no copy.
   */
  repair(): string | undefined;
}

export function storedFile<T>(path: string, format: StoredFormat<T>): StoredFile<T> {
  const readOwn = (): T | undefined => {
    const text = readText(path, format.limitBytes);
    return text === undefined ? undefined : decode(path, text, format.schema);
  };
  const readOther = (): T | undefined => {
    const text = readCopy(path, format.limitBytes);
    return text === undefined ? undefined : decode(path, text, format.schema);
  };
  const read = (): T | undefined =>
    format.copy === undefined ? readOwn() : readBoth(readOwn, readOther, format.copy.merge).value;
  const write = (value: T): void => {
    const text = `${JSON.stringify(value)}\n`;
    ensureDirectory(dirname(path));
    keepUnreadable(path, format.limitBytes);
    writeFileDurable(path, text, format.mode);
    if (format.copy !== undefined) writeCopy(path, text, format.mode);
  };
  return {
    read,
    readOr(otherwise) {
      try {
        return read() ?? otherwise;
      } catch {
        return otherwise;
      }
    },
    write,
    remove() {
      // The copy first: a power cut leaves the file, which can be removed again.
      if (format.copy !== undefined) removeCopy(path);
      removeFileDurable(path);
    },
    setAside: () => moveAside(path),
    repair() {
      if (format.copy === undefined) return undefined;
      const { value, found, isBehind, isWithheld } = readBoth(readOwn, readOther, format.copy.merge);
      if (isWithheld)
        return found === undefined
          ? undefined
          : `${found}; the copy of '${path}' is used until it can be read`;
      if (value !== undefined && isBehind) write(value);
      return found === undefined ? undefined : `${found}; '${path}' is restored from its copy`;
    },
  };
}

interface Both<T> {
  value: T | undefined;
  /** What is wrong with the file. */
  found?: string;
  /** One of the two is not what it should be. */
  isBehind: boolean;
  /** The disk does not give one of the two: it may be whole, and given later. */
  isWithheld: boolean;
}

/** Throws as `read` where neither can be read, and one is there. */
function readBoth<T>(
  readFile: () => T | undefined,
  readOther: () => T | undefined,
  merge: (file: T, copy: T) => T = (file) => file,
): Both<T> {
  const [file, copy] = [attempt(readFile), attempt(readOther)];
  if (file.value === undefined && copy.value === undefined) {
    const error = file.error ?? copy.error;
    if (error !== undefined) throw error;
    return { value: undefined, isBehind: false, isWithheld: false };
  }
  if (file.value === undefined || copy.value === undefined) {
    const found =
      file.value !== undefined ? {} : { found: file.error ? describeError(file.error) : 'it was gone' };
    const isWithheld = [file, copy].some(({ error }) => systemCode(error) === 'EIO');
    return { value: file.value ?? copy.value, isBehind: true, isWithheld, ...found };
  }
  const value = merge(file.value, copy.value);
  const text = JSON.stringify(value);
  const isBehind = [file.value, copy.value].some((one) => JSON.stringify(one) !== text);
  return { value, isBehind, isWithheld: false };
}

function attempt<T>(read: () => T | undefined): { value?: T | undefined; error?: unknown } {
  try {
    return { value: read() };
  } catch (error) {
    return { error };
  }
}

function keepUnreadable(path: string, limitBytes: number): void {
  try {
    readTextBounded(path, limitBytes);
  } catch (error) {
    if (systemCode(error) === 'EIO') moveAside(path);
  }
}

/** Something that is not a file, or is too long, counts as damaged, like an empty one. */
function readText(path: string, limitBytes: number): string | undefined {
  try {
    return readTextBounded(path, limitBytes);
  } catch (error) {
    throw systemCode(error) === undefined ? unreadable(path, describeError(error), error) : error;
  }
}

function decode<T>(path: string, text: string, schema: v.GenericSchema<unknown, T>): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw unreadable(path, 'not JSON', error);
  }
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw unreadable(path, `${v.getDotPath(issue) ?? 'it'}: ${issue.message}`);
}

function unreadable(path: string, found: string, cause?: unknown): GweError {
  const message = found.startsWith('cannot read') ? found : `cannot read '${path}': ${found}`;
  return new GweError('JOURNAL_UNREADABLE', message, { cause });
}
