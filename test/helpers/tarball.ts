/** Good tarballs in one line, for tests of everything that installs them. */
import { gzipTar, paxEntry, rawEntry } from './tar-bytes.ts';

export type TarballEntry = string | { content?: string | Buffer; mode?: number; link?: string };

/**
 * A `.tar.gz` of `entries`, in their order. A path that ends in `/` is a directory, `link` makes a symbolic link.
 * `install.sh`, `health.sh` and every path below `bin/` get mode 0755 unless they say otherwise, the rest 0644.
 */
export function makeTarball(entries: Readonly<Record<string, TarballEntry>>): Buffer {
  return gzipTar(...Object.entries(entries).map(([path, entry]) => makeEntry(path, entry)));
}

function makeEntry(path: string, given: TarballEntry): Buffer {
  const entry = typeof given === 'string' ? { content: given } : given;
  const mode = entry.mode ?? defaultMode(path);
  const long = Buffer.byteLength(path) > 99 ? paxEntry({ path }) : Buffer.alloc(0);
  const name = Buffer.from(path).subarray(0, 99);
  if (entry.link !== undefined) {
    return Buffer.concat([long, rawEntry({ name, mode: 0o777, type: '2', link: entry.link })]);
  }
  const type = path.endsWith('/') ? '5' : '0';
  return Buffer.concat([long, rawEntry({ name, mode, type }, entry.content ?? '')]);
}

function defaultMode(path: string): number {
  return path.endsWith('/') || /(^|\/)(install|health)\.sh$|(^|\/)bin\//.test(path) ? 0o755 : 0o644;
}

export const INSTALL_OK = '#!/bin/sh\nexit 0\n';
