/** An app's data directory: its mode, its owner, and that it is there before anything is started in it. */
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  lstatSync,
  mkdirSync,
  type Stats,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { GweError, systemCode, wrapError } from '../base/errors.ts';
import { ensureDirectory, fsyncDirectory, readLink } from '../base/fs.ts';
import { parseIni } from '../base/ini.ts';
import { dataDirectoryPair } from './program.ts';
import { findUser, type User } from './users.ts';

const DATA_MODE = 0o750;

export type Owner = Pick<User, 'uid' | 'gid'>;

/**
 * Makes `path` if it is missing (true, then), and gives it to `owner`: the directory alone, never what is below. A link
 * that an operator has put there is followed. Throws STORE_IO, also where something else is in the place.
 */
export function ensureDataDirectory(path: string, owner: Owner | undefined): boolean {
  try {
    const before = statSync(path, { throwIfNoEntry: false });
    if (before !== undefined && !before.isDirectory()) throw notADirectory(path);
    if (before === undefined) make(path);
    const stat = before ?? statSync(path);
    if (owner !== undefined && mayChange(stat, owner)) chownSync(path, owner.uid, owner.gid);
    return before === undefined;
  } catch (error) {
    throw error instanceof GweError
      ? error
      : wrapError(error, 'STORE_IO', `cannot create data directory '${path}'`);
  }
}

/**
 * Throws STORE_IO where `path` neither is a directory nor could be made one: for before an update touches anything, and
 * for looks that change nothing.
 */
export function assertDataDirectory(path: string): void {
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory() === true) return;
    if (stat !== undefined || isThere(path)) throw notADirectory(path);
    let parent = dirname(path);
    while (!isThere(parent) && dirname(parent) !== parent) parent = dirname(parent);
    if (statSync(parent, { throwIfNoEntry: false })?.isDirectory() !== true) throw notADirectory(parent);
    accessSync(parent, constants.W_OK);
  } catch (error) {
    throw error instanceof GweError
      ? error
      : wrapError(error, 'STORE_IO', `cannot use data directory '${path}'`);
  }
}

function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    // Something above it is no directory: the walk up finds it.
    if (systemCode(error) === 'ENOTDIR') return false;
    throw error;
  }
}

/**
 * Makes the data directory `path` again if it is missing and the program entry `text` needs it; true if it did. An
 * entry from before there were data directories needs none.
 */
export function restoreDataDirectory(path: string, text: string): boolean {
  return needsDataDirectory(path, text) && ensureDataDirectory(path, programOwner(text));
}

function needsDataDirectory(path: string, text: string): boolean {
  return lastValue(text, 'environment').startsWith(dataDirectoryPair(path));
}

/** The program's working directory by its entry, as a path. */
export function entryDirectory(text: string): string {
  return lastValue(text, 'directory').replaceAll('%%', '%');
}

function lastValue(text: string, option: string): string {
  const entries = parseIni(text).sections[0]?.entries ?? [];
  return entries.findLast(({ key }) => key === option)?.value.trim() ?? '';
}

function make(path: string): void {
  ensureDirectory(dirname(path));
  try {
    mkdirSync(path, { mode: DATA_MODE });
  } catch (error) {
    // A link to a disk that is not mounted: the data on that disk must not be mistaken for lost.
    if (systemCode(error) === 'EEXIST') throw notADirectory(path);
    throw error;
  }
  chmodSync(path, DATA_MODE);
  fsyncDirectory(dirname(path));
}

/** Only root can give a directory away, and one of the right user may have been given a group by hand. */
function mayChange(stat: Stats, owner: Owner): boolean {
  return process.getuid?.() === 0 && stat.uid !== owner.uid;
}

function notADirectory(path: string): GweError {
  const target = readLink(path);
  const found =
    target === undefined
      ? 'it is not a directory'
      : `it is a link to '${target}', which is not a directory or not there (a disk that is not mounted?)`;
  return new GweError(
    'STORE_IO',
    `cannot use data directory '${path}': ${found}; expected a directory or a link to one`,
  );
}

/**
 * Whom the program of the entry `text` runs as: its `user`, else whoever runs supervisord, and so gwe. `undefined`
 * for a user that this gateway does not know (yet).
 */
export function programOwner(text: string): Owner | undefined {
  const user = lastValue(text, 'user');
  if (user !== '') return findUser(user);
  return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
}
