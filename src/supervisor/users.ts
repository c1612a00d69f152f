/** What supervisord will find on this gateway when it reads a program entry. */
import { readFileSync, statSync } from 'node:fs';
import { readTextBounded } from '../base/fs.ts';

const PASSWD = '/etc/passwd';
const PASSWD_LIMIT_BYTES = 4 * 1024 * 1024;

export interface User {
  name: string;
  uid: number;
  gid: number;
  home: string;
}

/** Whether `user`, a name or a number, is in /etc/passwd. Users from elsewhere (LDAP) may be absent at boot, and count as none. */
export function userExists(user: string): boolean {
  return findUser(user) !== undefined;
}

/** The line of /etc/passwd about `user`, a name or a number. */
export function findUser(user: string): User | undefined {
  if (user === '') return undefined;
  const column = /^\d+$/.test(user) ? 2 : 0;
  const wanted = column === 2 ? String(Number(user)) : user;
  const lines = (readTextBounded(PASSWD, PASSWD_LIMIT_BYTES) ?? '').split('\n');
  const fields = lines.map((line) => line.split(':')).find((each) => each[column] === wanted);
  if (fields === undefined) return undefined;
  const [name = '', , uid, gid, , home = ''] = fields;
  return { name, uid: Number(uid), gid: Number(gid), home };
}

/** Whether `path` is a directory, links followed. A path that cannot be examined (too long, a loop) is not. */
export function directoryExists(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** The environment that process `pid` was started with, or `undefined` if it may not be read. */
export function readProcessEnvironment(pid: number): Record<string, string> | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    return undefined;
  }
  const pairs = text
    .split('\0')
    .map((pair): [string, string] => [
      pair.slice(0, Math.max(0, pair.indexOf('='))),
      pair.slice(pair.indexOf('=') + 1),
    ]);
  return Object.fromEntries(pairs.filter(([name]) => name !== ''));
}
