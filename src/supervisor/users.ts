/** What supervisord will find on this gateway when it reads a program entry. */
import { readFileSync, statSync } from 'node:fs';
import { readTextBounded } from '../base/fs.ts';

const PASSWD = '/etc/passwd';
const PASSWD_LIMIT_BYTES = 4 * 1024 * 1024;

/** Whether `user`, a name or a number, is in /etc/passwd. Users from elsewhere (LDAP) may be absent at boot, and count as none. */
export function userExists(user: string): boolean {
  const lines = (readTextBounded(PASSWD, PASSWD_LIMIT_BYTES) ?? '').split('\n');
  if (user === '') return false;
  const column = /^\d+$/.test(user) ? 2 : 0;
  const wanted = column === 2 ? String(Number(user)) : user;
  return lines.some((line) => line.split(':')[column] === wanted);
}

/** Whether `path` is a directory, links followed. One that can not be looked at (too long, a loop) is none. */
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
