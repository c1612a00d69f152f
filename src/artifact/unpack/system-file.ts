/** Links of a virtual environment and the like: they lead to files that the system has, not the artifact. */
import { statSync } from 'node:fs';
import { entryFault, quote } from '../faults.ts';
import type { TarEntry } from '../tar/entries.ts';

const READABLE_BY_ALL = 0o004;
const WRITABLE_BY_OTHERS = 0o022;

/**
 * Throws ARTIFACT_ENTRY for a symlink to an absolute path where this machine has no file of root's that everybody may
 * read and root alone may write. Nothing is ever written through a link.
 */
export function assertSystemFile({ type, path, target }: TarEntry): void {
  if (type !== 'symlink' || !target.startsWith('/')) return;
  const found = whatIsAt(target);
  if (found === undefined) return;
  throw entryFault(
    path,
    `a link to ${quote(target)}, which is ${found} here`,
    'a file of the system, or a link that stays inside the artifact; pack the file itself (tar --dereference), or make the link in install.sh',
  );
}

function whatIsAt(target: string): string | undefined {
  try {
    const stat = statSync(target, { throwIfNoEntry: false });
    if (stat === undefined) return 'not there';
    if (!stat.isFile()) return 'no regular file';
    const isRoots = stat.uid === 0 && (stat.mode & WRITABLE_BY_OTHERS) === 0;
    return isRoots && (stat.mode & READABLE_BY_ALL) !== 0 ? undefined : 'no file of the system';
  } catch {
    return 'out of reach';
  }
}
