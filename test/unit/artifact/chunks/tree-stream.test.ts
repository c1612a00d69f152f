import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { openTreeStream, type TreeStream } from '../../../../src/artifact/chunks/tree-stream.ts';
import { DEFAULT_LIMITS } from '../../../../src/artifact/limits.ts';
import type { Manifest } from '../../../../src/artifact/manifest/manifest.ts';
import { extractArtifact } from '../../../../src/artifact/unpack/extract.ts';
import { type Entries, makeIndexed } from '../../../helpers/indexed.ts';

const roots: string[] = [];
after(() => {
  for (const root of roots) rmSync(root, { recursive: true, force: true });
});

const LONG = `${'deep/'.repeat(30)}${'name-'.repeat(20)}.txt`;
const ENTRIES: Entries = {
  'install.sh': '#!/bin/sh\n',
  'a/empty': '',
  'a/block': 'x'.repeat(512),
  'a/odd': 'y'.repeat(70_001),
  'a/link': { link: 'odd' },
  'b/': '',
  [`c/${'z'.repeat(99)}`]: 'a name of 101 bytes',
  [LONG]: 'long',
  'd/link': { link: `${'t/'.repeat(60)}t` },
};

async function unpack(entries: Entries): Promise<{ directory: string; manifest: Manifest; body: Buffer }> {
  const root = mkdtempSync(join(tmpdir(), 'gwe-tree-'));
  roots.push(root);
  const tarball = await makeIndexed({ name: 'app', version: '1' }, entries);
  const file = join(root, 'app.v1.tar.gz');
  writeFileSync(file, tarball);
  const directory = join(root, 'tree');
  const { index } = await extractArtifact(file, directory, { limits: DEFAULT_LIMITS });
  assert.ok(index);
  const stream = gunzipSync(tarball);
  // Two entries of .gwe/ in front: the size field of each header says how far they go.
  let at = 0;
  for (let entry = 0; entry < 2; entry++) {
    const size = Number.parseInt(stream.toString('latin1', at + 124, at + 135), 8);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return { directory, manifest: index.manifest, body: stream.subarray(at) };
}

function readAll(stream: TreeStream, stepBytes: number): Buffer {
  const all = Buffer.alloc(stream.sizeBytes, 0xee);
  for (let at = 0; at < all.length; at += stepBytes) {
    assert.ok(stream.read(at, all.subarray(at, at + stepBytes)), `at ${at}`);
  }
  return all;
}

describe('the stream of an unpacked version', () => {
  test('equals what it was unpacked from, in pieces of any size', async () => {
    const { directory, manifest, body } = await unpack(ENTRIES);
    const stream = openTreeStream(directory, manifest);
    for (const step of [1 << 20, 4096, 511, 513]) assert.ok(readAll(stream, step).equals(body), `${step}`);
    for (let turn = 0; turn < 200; turn++) {
      const at = Math.floor(Math.random() * body.length);
      const into = Buffer.alloc(Math.floor(Math.random() * Math.min(5000, body.length - at)));
      assert.ok(stream.read(at, into));
      assert.ok(into.equals(body.subarray(at, at + into.length)), `${into.length} bytes at ${at}`);
    }
    assert.equal(stream.read(body.length - 1, Buffer.alloc(2)), false, 'beyond the end');
    stream.close();
  });

  test('reads the one top-level directory where it has become the root, and where it has not', async () => {
    const { directory, manifest, body } = await unpack({ 'top/install.sh': '#!/bin/sh\n', 'top/x/y': 'y' });
    const promoted = openTreeStream(join(directory, 'top'), manifest);
    assert.ok(readAll(promoted, 4096).equals(body));
    const staged = openTreeStream(directory, manifest, { rootPrefix: '' });
    assert.ok(readAll(staged, 4096).equals(body));
    promoted.close();
    staged.close();
  });

  test('has not what is missing, no file, a link or of another size; everything else it has', async () => {
    const { directory, manifest, body } = await unpack({ ...ENTRIES, 'a/last': 'z'.repeat(600) });
    const at = (text: string): number => body.indexOf(text);
    const spoil: Record<string, (path: string) => void> = {
      missing: () => undefined,
      directory: (path) => mkdirSync(path),
      link: (path) => symlinkSync('install.sh', path),
      longer: (path) => writeFileSync(path, 'y'.repeat(70_002)),
    };
    for (const [what, act] of Object.entries(spoil)) {
      const path = join(directory, 'a/odd');
      rmSync(path, { recursive: true, force: true });
      act(path);
      const stream = openTreeStream(directory, manifest);
      assert.equal(stream.read(at('yyy'), Buffer.alloc(100)), false, what);
      assert.equal(stream.read(at('yyy') - 1, Buffer.alloc(2)), false, what);
      assert.equal(stream.read(at('yyy') - 1, Buffer.alloc(1)), true, what);
      assert.equal(stream.read(at('zzz'), Buffer.alloc(600)), true, what);
      stream.close();
    }
  });

  test('has of a file that was not written to its end what is there, if that is asked for', async () => {
    const { directory, manifest, body } = await unpack(ENTRIES);
    truncateSync(join(directory, 'a/odd'), 50_000);
    const start = body.indexOf('yyy');
    const stream = openTreeStream(directory, manifest, { rootPrefix: '', mayBePartial: true });
    const into = Buffer.alloc(50_000);
    assert.ok(stream.read(start, into));
    assert.ok(into.equals(body.subarray(start, start + into.length)));
    assert.equal(stream.read(start, Buffer.alloc(50_001)), false);
    stream.close();
    const strict = openTreeStream(directory, manifest);
    assert.equal(strict.read(start, Buffer.alloc(1)), false);
    strict.close();
  });
});
