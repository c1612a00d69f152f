/** Where other file systems, or other parts of the same one (bind mounts), hang in a tree. */
import { readFileSync, realpathSync } from 'node:fs';
import { systemCode } from './errors.ts';

const MOUNTINFO = '/proc/self/mountinfo';

interface MountPoint {
  path: string;
  /** ext4, tmpfs, ... */
  type: string;
  /** The device, or whatever else was given for one. */
  source: string;
}

/** The mount points at `path` and below it, links in `path` followed; none for what is not there. Throws where /proc is not readable. */
export function mountPointsIn(path: string): MountPoint[] {
  let real: string;
  try {
    real = realpathSync(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return [];
    throw error;
  }
  const below = real === '/' ? '/' : `${real}/`;
  return parseMountinfo(readFileSync(MOUNTINFO, 'latin1')).filter(
    (mount) => mount.path === real || mount.path.startsWith(below),
  );
}

/** proc_pid_mountinfo(5): the mount point is the fifth field; type and source come after a lone dash. */
export function parseMountinfo(text: string): MountPoint[] {
  return text.split('\n').flatMap((line) => {
    const [front = '', back = ''] = line.split(' - ');
    const path = front.split(' ')[4];
    const [type = '', source = ''] = back.split(' ');
    return path === undefined ? [] : [{ path: plainName(path), type, source: plainName(source) }];
  });
}

/** White space and backslashes are written as octal; the text was read byte by byte. */
function plainName(text: string): string {
  const plain = text.replace(/\\([0-7]{3})/g, (_match, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8) & 0xff),
  );
  return Buffer.from(plain, 'latin1').toString('utf8');
}

export function describeMount({ path, type, source }: MountPoint): string {
  return `'${path}' (${type}, ${source})`;
}
