/**
 * Who may read Gateway.cfg besides its owner: the members of `cik_group`, for apps that run as somebody else and ask
 * `gwe -C`.
 */
import * as fs from 'node:fs';
import { describeError, wrapError } from '../base/errors.ts';
import { type FileAccess, readTextBounded } from '../base/fs.ts';

const GROUP = '/etc/group';
const GROUP_LIMIT_BYTES = 4 * 1024 * 1024;
const OWNER_ALONE = 0o600;
const GROUP_READS = 0o640;

/** How the file is rewritten: a group that can read it still can, and nobody else. */
export function keyFileAccess(path: string): FileAccess {
  const found = fs.statSync(path, { throwIfNoEntry: false });
  return found !== undefined && (found.mode & 0o040) !== 0
    ? { mode: GROUP_READS, gid: found.gid }
    : { mode: OWNER_ALONE };
}

/**
 * Gives the file to `group`, or to its owner alone where that is empty. Returns why it cannot be done; then the file
 * is its owner's alone. A file that is not there is fine.
 */
export function grantKeyFile(path: string, group: string): string | undefined {
  const found = fs.statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  const gid = group === '' ? undefined : findGroup(group);
  try {
    if (gid !== undefined && found.gid !== gid) fs.chownSync(path, -1, gid);
    const mode = gid === undefined ? OWNER_ALONE : GROUP_READS;
    // Reading alone is given and taken here: a file that is closed to its owner has been closed by somebody.
    if ((found.mode & 0o077) !== (mode & 0o077)) fs.chmodSync(path, mode);
  } catch (error) {
    return `cik_group: ${describeError(wrapError(error, 'STORE_IO', `cannot give '${path}' to group '${group}'`))}`;
  }
  return group === '' || gid !== undefined
    ? undefined
    : `cik_group: found '${group}', expected a group of /etc/group; only its owner can read '${path}'`;
}

/** The number of `group`, a name or a number, in /etc/group. */
function findGroup(group: string): number | undefined {
  const column = /^\d+$/.test(group) ? 2 : 0;
  const lines = (readTextBounded(GROUP, GROUP_LIMIT_BYTES) ?? '').split('\n');
  const fields = lines.map((line) => line.split(':')).find((each) => each[column] === group);
  return fields === undefined ? undefined : Number(fields[2]);
}
