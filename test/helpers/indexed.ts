/** Indexed tarballs: good ones from the real packer, and forged ones whose every byte the test decides. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { packIndexed } from '../../src/artifact/make/pack-indexed.ts';
import { type PlannedEntry, sortEntries } from '../../src/artifact/make/plan-tree.ts';
import type { ArtifactFacts } from '../../src/artifact/manifest/manifest.ts';
import {
  createSigner,
  generateKey,
  type KeyPair,
  readPrivateKey,
} from '../../src/artifact/manifest/signature.ts';
import { encodeEntryHeader } from '../../src/artifact/tar/writer.ts';
import { removeRoot } from './remove-root.ts';
import { END_BLOCKS, rawBody } from './tar-bytes.ts';
import type { TarballEntry } from './tarball.ts';

export type Entries = Readonly<Record<string, TarballEntry>>;

/** An indexed tarball of `entries` (as `makeTarball` takes them), signed by `keys`. */
export async function makeIndexed(
  facts: ArtifactFacts,
  entries: Entries,
  keys: readonly KeyPair[] = [],
): Promise<Buffer> {
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-indexed-'));
  try {
    const file = join(scratch, 'out.tar.gz');
    const signers = keys.map((key) => createSigner(readPrivateKey(key.privateKey, undefined, 'test')));
    await packIndexed(file, { facts, entries: planEntries(entries), signers });
    return readFileSync(file);
  } finally {
    removeRoot(scratch);
  }
}

export const newKey = (): KeyPair => generateKey();

function planEntries(entries: Entries): PlannedEntry[] {
  return sortEntries(
    Object.entries(entries).map(([path, given]): PlannedEntry => {
      const { content = '', mode, link } = typeof given === 'string' ? { content: given } : given;
      if (link !== undefined) {
        return { path, type: 'symlink', mode: 0o777, sizeBytes: 0, target: link, source: { kind: 'none' } };
      }
      if (path.endsWith('/')) {
        const name = path.slice(0, -1);
        return {
          path: name,
          type: 'directory',
          mode: 0o755,
          sizeBytes: 0,
          target: '',
          source: { kind: 'none' },
        };
      }
      const bytes = Buffer.from(content as string);
      const isScript = /(^|\/)(install|health)\.sh$|(^|\/)bin\//.test(path);
      const source = { kind: 'bytes' as const, bytes };
      return {
        path,
        type: 'file',
        mode: mode ?? (isScript ? 0o755 : 0o644),
        sizeBytes: bytes.length,
        target: '',
        source,
      };
    }),
  );
}

/** One canonical file entry of the tar stream. */
export function fileEntry(path: string, content: string | Buffer, mode = 0o644): Buffer {
  const bytes = Buffer.from(content as string);
  const header = encodeEntryHeader({ path, type: 'file', mode, sizeBytes: bytes.length, target: '' });
  return Buffer.concat([header, rawBody(bytes)]);
}

export function sha256(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

/** The text of a manifest that lists `files` in this order, with `more` on top. */
export function manifestText(files: Readonly<Record<string, string>>, more: object = {}): string {
  const entries = Object.entries(files).map(([path, content]) => ({
    mode: path.endsWith('.sh') ? '0755' : '0644',
    path,
    sha256: sha256(content),
    size: Buffer.byteLength(content),
    type: 'file',
  }));
  const manifest: Record<string, unknown> = { entries, format: 1, name: 'app', version: '1', ...more };
  return JSON.stringify(Object.fromEntries(Object.entries(manifest).sort(([a], [b]) => (a < b ? -1 : 1))));
}

export const NO_SIGNATURES = '{"format":1,"signatures":[]}';

/** A tarball of these parts behind the two entries of `.gwe/`. */
export function forge(
  manifest: string | Buffer,
  parts: readonly Buffer[],
  signatures = NO_SIGNATURES,
): Buffer {
  const meta = [fileEntry('.gwe/manifest.json', manifest), fileEntry('.gwe/signatures.json', signatures)];
  return gzipSync(Buffer.concat([...meta, ...parts, END_BLOCKS]), { level: 1 });
}

/** The tarball with its tar stream changed. */
export function alter(tarball: Buffer, change: (stream: Buffer) => Buffer): Buffer {
  return gzipSync(change(gunzipSync(tarball)), { level: 1 });
}
