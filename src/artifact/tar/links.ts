/** Where symbolic links of an archive may lead. */
import { CONTROL, entryFault, quote } from '../faults.ts';
import type { ArtifactLimits } from '../limits.ts';

interface SymlinkReach {
  /** To an absolute path. */
  isOutside: boolean;
  /** What `..` stands behind: the link stays inside only where each of these is a directory, and no link to one. */
  through: readonly string[];
}

/**
 * Where the target of a symlink at `path` leads, whatever else the archive holds. The parents of an entry are real
 * directories (EntryTree sees to it), so climbing from there is exact. Throws ARTIFACT_ENTRY for a relative one that
 * leads out: where it ends depends on where the version lies.
 */
export function reachOfSymlink(path: string, target: string, limits: ArtifactLimits): SymlinkReach {
  if (target === '') throw refuse(path, 'a link to nothing');
  if (CONTROL.test(target)) throw refuse(path, 'a control character in the link target');
  if (Buffer.byteLength(target) > limits.pathBytes)
    throw refuse(path, 'a link target of more than the allowed length');
  if (target.startsWith('/')) return { isOutside: true, through: [] };
  const at = path.split('/').slice(0, -1);
  const through: string[] = [];
  let named = 0;
  for (const part of target.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') {
      at.push(part);
      named += 1;
      continue;
    }
    if (at.length === 0) throw refuse(path, `a link to ${quote(target)}, which is outside of it`);
    if (named > 0) {
      through.push(at.join('/'));
      named -= 1;
    }
    at.pop();
  }
  return { isOutside: false, through };
}

/** What an artifact with a manifest, and what gwe packs, may have: a link whose own path stays inside. */
export function assertInnerSymlink(path: string, target: string, limits: ArtifactLimits): void {
  const { isOutside, through } = reachOfSymlink(path, target, limits);
  if (isOutside) throw refuse(path, `a link to the absolute path ${quote(target)}`);
  if (through.length > 0) throw crooked(path, target);
}

/** For a link with `..` behind what is no directory. */
export function crooked(path: string, target: string): Error {
  return refuse(path, `a link to ${quote(target)} with '..' behind a name`);
}

function refuse(path: string, found: string): Error {
  return entryFault(
    path,
    found,
    'a link that stays inside the artifact; pack the file itself (tar --dereference), or make the link in install.sh',
  );
}
