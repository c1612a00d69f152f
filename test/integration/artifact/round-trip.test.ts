/** gwe against Debian's tar and Python's tarfile, both ways, on trees that nobody would think of. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { DEFAULT_LIMITS } from '../../../src/artifact/limits.ts';
import { packArtifact } from '../../../src/artifact/make/pack.ts';
import { packIndexed } from '../../../src/artifact/make/pack-indexed.ts';
import { listTree, planPaths } from '../../../src/artifact/make/plan-tree.ts';
import { readTreeIndex } from '../../../src/artifact/manifest/verify-tree.ts';
import { CANONICAL_MTIME_S } from '../../../src/artifact/tar/entries.ts';
import { assertLayout } from '../../../src/artifact/unpack/checks.ts';
import { extractArtifact } from '../../../src/artifact/unpack/extract.ts';

const options = { limits: DEFAULT_LIMITS };
const RUNS = { numRuns: 6, endOnFailure: true };

type Leaf = { kind: 'file'; content: Uint8Array; mode: number } | { kind: 'directory' } | { kind: 'link' };
interface Node {
  parts: readonly string[];
  leaf: Leaf;
}

const name = fc.oneof(
  fc.constantFrom(
    'a',
    'b',
    'bin',
    'Müller',
    '日本',
    'x y',
    '-dash',
    "q'uote",
    'back\\slash',
    '.hidden',
    '*',
    '%s',
  ),
  fc.string({ unit: fc.constantFrom(...'abcxyzäß€'), minLength: 1, maxLength: 60 }),
  fc.constant('n'.repeat(120)),
);
const leaf: fc.Arbitrary<Leaf> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('file' as const),
      content: fc.uint8Array({ maxLength: 1500 }),
      mode: fc.constantFrom(0o644, 0o755, 0o600, 0o700, 0o444),
    }),
  },
  fc.constant({ kind: 'directory' as const }),
  fc.constant({ kind: 'link' as const }),
);
const nodes: fc.Arbitrary<Node[]> = fc.array(
  fc.record({ parts: fc.array(name, { minLength: 1, maxLength: 5 }), leaf }),
  { minLength: 1, maxLength: 12 },
);

/** Behind a link a node would land elsewhere, where a link of its own may lead out of the tree. */
function isBehindLink(root: string, parts: readonly string[]): boolean {
  return parts.some((_part, index) =>
    lstatSync(join(root, ...parts.slice(0, index)), { throwIfNoEntry: false })?.isSymbolicLink(),
  );
}

/** Makes what can be made of `tree`: a node that clashes with an earlier one is left out. */
function plant(root: string, tree: readonly Node[]): void {
  mkdirSync(root);
  for (const { parts, leaf } of tree) {
    const path = join(root, ...parts);
    try {
      if (isBehindLink(root, parts)) continue;
      if (leaf.kind === 'directory') mkdirSync(path, { recursive: true });
      else mkdirSync(dirname(path), { recursive: true });
      if (leaf.kind === 'link') symlinkSync(`${'../'.repeat(parts.length - 1)}${parts[0]}`, path);
      if (leaf.kind !== 'file') continue;
      writeFileSync(path, leaf.content, { flag: 'wx' });
      chmodSync(path, leaf.mode);
    } catch (error) {
      assert.match(String(error), /EEXIST|ENOTDIR|ELOOP|EISDIR|ENOENT|ENAMETOOLONG/);
    }
  }
}

/** Everything below `root` that a tarball keeps, except times. */
function snapshot(root: string): string[] {
  return readdirSync(root)
    .sort()
    .flatMap((path) => {
      const at = join(root, path);
      const stat = lstatSync(at);
      if (stat.isSymbolicLink()) return `${path} -> ${readlinkSync(at)}`;
      const mode = (stat.mode & 0o7777).toString(8);
      if (!stat.isDirectory()) return `${path} ${mode} ${readFileSync(at, 'base64')}`;
      return [`${path}/ ${mode}`, ...snapshot(at).map((line) => `${path}/${line}`)];
    });
}

async function inScratch(use: (scratch: string) => Promise<void>): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-trip-'));
  try {
    await use(scratch);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const PYTHON_PACK = `
import sys, tarfile
formats = {'ustar': tarfile.USTAR_FORMAT, 'gnu': tarfile.GNU_FORMAT, 'pax': tarfile.PAX_FORMAT}
with tarfile.open(sys.argv[1], 'w:gz', format=formats[sys.argv[3]]) as tar:
    tar.add(sys.argv[2], arcname='.')
`;
const PYTHON_UNPACK = `
import sys, tarfile
with tarfile.open(sys.argv[1], 'r:gz') as tar:
    try: tar.extractall(sys.argv[2], filter='fully_trusted')
    except TypeError: tar.extractall(sys.argv[2])
`;

type Pack = (file: string, tree: string) => void;
const tarAs =
  (format: string): Pack =>
  (file, tree) => {
    execFileSync('tar', ['czf', file, `--format=${format}`, '-C', tree, '.']);
  };
const pythonAs =
  (format: string): Pack =>
  (file, tree) => {
    execFileSync('python3', ['-c', PYTHON_PACK, file, tree, format]);
  };
const WRITERS: Readonly<Record<string, Pack>> = {
  "Debian's tar": (file, tree) => execFileSync('tar', ['czf', file, '-C', tree, '.']),
  "Debian's tar in POSIX format": tarAs('posix'),
  "Debian's tar with ./* names": (file, tree) =>
    execFileSync('tar', ['czf', file, '-C', tree, ...readdirSync(tree).map((each) => `./${each}`)]),
  "Python's tarfile in GNU format": pythonAs('gnu'),
  "Python's tarfile in pax format": pythonAs('pax'),
};

for (const [writer, pack] of Object.entries(WRITERS)) {
  test(`what ${writer} packs, gwe unpacks the same`, () =>
    fc.assert(
      fc.asyncProperty(nodes, (tree) =>
        inScratch(async (scratch) => {
          plant(join(scratch, 'tree'), tree);
          const file = join(scratch, 'app.v1.tar.gz');
          pack(file, join(scratch, 'tree'));
          await extractArtifact(file, join(scratch, 'out'), options);
          assert.deepEqual(snapshot(join(scratch, 'out')), snapshot(join(scratch, 'tree')));
        }),
      ),
      RUNS,
    ));
}

/** bsdtar is not on every machine; busybox's tar is what most gateways have. */
const INDEXED_READERS: Readonly<Record<string, (file: string, out: string) => void>> = {
  "Debian's tar": (file, out) => execFileSync('tar', ['xzpf', file, '-C', out], { stdio: 'pipe' }),
  "busybox's tar": (file, out) =>
    execFileSync('busybox', ['tar', 'xzpf', file, '-C', out], { stdio: 'pipe' }),
  "Python's tarfile": (file, out) => execFileSync('python3', ['-c', PYTHON_UNPACK, file, out]),
};

for (const [reader, unpack] of Object.entries(INDEXED_READERS)) {
  test(`an indexed tarball is unpacked by ${reader} as by gwe, manifest and all`, () =>
    fc.assert(
      fc.asyncProperty(nodes, (tree) =>
        inScratch(async (scratch) => {
          const [file, root] = [join(scratch, 'app.v1.tar.gz'), join(scratch, 'tree')];
          plant(root, tree);
          const entries = planPaths(root, listTree(root, ''), DEFAULT_LIMITS);
          const { digest } = await packIndexed(file, { facts: { name: 'app', version: '1' }, entries });
          execFileSync('gzip', ['-t', file]);
          mkdirSync(join(scratch, 'theirs'));
          unpack(file, join(scratch, 'theirs'));
          const contents = await extractArtifact(file, join(scratch, 'ours'), options);
          assert.equal(contents.digest, digest);
          assert.deepEqual(snapshot(join(scratch, 'ours')), snapshot(join(scratch, 'theirs')));
          const index = readTreeIndex(join(scratch, 'ours'), digest, DEFAULT_LIMITS);
          assert.ok(index);
          assert.deepEqual(index.manifest, contents.index?.manifest);
        }),
      ),
      RUNS,
    ));
}

const READERS: Readonly<Record<string, (file: string, out: string) => void>> = {
  "Debian's tar": (file, out) => execFileSync('tar', ['xzpf', file, '-C', out], { stdio: 'pipe' }),
  "Python's tarfile": (file, out) => execFileSync('python3', ['-c', PYTHON_UNPACK, file, out]),
};

for (const [reader, unpack] of Object.entries(READERS)) {
  test(`what gwe packs, ${reader} and gwe unpack the same`, () =>
    fc.assert(
      fc.asyncProperty(nodes, (tree) =>
        inScratch(async (scratch) => {
          const [file, root, out] = [
            join(scratch, 'app.v1.tar.gz'),
            join(scratch, 'tree'),
            join(scratch, 'out'),
          ];
          plant(root, tree);
          await packArtifact(file, planPaths(root, listTree(root, ''), DEFAULT_LIMITS));
          mkdirSync(out);
          unpack(file, out);
          assert.deepEqual(snapshot(out), snapshot(root));
          await extractArtifact(file, join(scratch, 'again'), options);
          assert.deepEqual(snapshot(join(scratch, 'again')), snapshot(root));
        }),
      ),
      RUNS,
    ));
}

test('the same files give the same bytes, in whatever order and time they were made', () =>
  fc.assert(
    fc.asyncProperty(nodes, (tree) =>
      inScratch(async (scratch) => {
        const build = async (which: string, order: readonly Node[], time: number): Promise<Buffer> => {
          const root = join(scratch, which);
          plant(root, order);
          const paths = listTree(root, '');
          for (const path of paths)
            if (lstatSync(join(root, path)).isFile()) utimesSync(join(root, path), time, time);
          const file = join(scratch, `${which}.tar.gz`);
          await packArtifact(file, planPaths(root, time > 1e9 ? paths.reverse() : paths, DEFAULT_LIMITS));
          return readFileSync(file);
        };
        const distinct = [...new Map(tree.map((node) => [node.parts[0], node])).values()];
        const first = await build('first', distinct, 1e9);
        assert.deepEqual(await build('second', [...distinct].reverse(), 1.5e9), first);
      }),
    ),
    RUNS,
  ));

test('a build under umask 002 gives the bytes of one under 022', () =>
  inScratch(async (scratch) => {
    const build = async (mode: number): Promise<Buffer> => {
      const root = mkdtempSync(join(scratch, 'tree-'));
      writeFileSync(join(root, 'f'), 'x');
      chmodSync(join(root, 'f'), mode);
      const file = join(scratch, `${mode}.tar.gz`);
      await packArtifact(file, planPaths(root, ['f'], DEFAULT_LIMITS));
      return readFileSync(file);
    };
    assert.deepEqual(await build(0o664), await build(0o644));
    assert.notDeepEqual(await build(0o755), await build(0o644));
  }));

test('nothing of the machine is in the gzip and tar headers', () =>
  inScratch(async (scratch) => {
    writeFileSync(join(scratch, 'f'), 'x');
    const file = join(scratch, 'app.v1.tar.gz');
    const { digest } = await packArtifact(file, planPaths(scratch, ['f'], DEFAULT_LIMITS));
    const bytes = readFileSync(file);
    assert.deepEqual([...bytes.subarray(0, 10)], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    assert.equal(
      digest,
      'b0d1946abe977f2224444dc26146065da9aa6f4ac9ff2a5988a6340514dca4ea',
      'the whole stream, on every machine',
    );
    assert.equal(gunzipSync(bytes).length, 512 * 4);
    const listing = execFileSync('tar', ['tvzf', file, '--numeric-owner', '--utc'], { encoding: 'utf8' });
    assert.match(listing, /^-rw-r--r-- 0\/0 +1 1980-01-01 00:00 f\n$/);
  }));

test('times of a hand-packed tarball are kept, the fixed time of a built one is not', () =>
  inScratch(async (scratch) => {
    mkdirSync(join(scratch, 'tree/d'), { recursive: true });
    writeFileSync(join(scratch, 'tree/d/f'), 'x');
    for (const path of ['tree/d/f', 'tree/d']) utimesSync(join(scratch, path), 1e9, 1e9);
    const [packed, built] = [join(scratch, 'packed.tar.gz'), join(scratch, 'built.tar.gz')];
    execFileSync('tar', ['czf', packed, '-C', join(scratch, 'tree'), 'd']);
    await extractArtifact(packed, join(scratch, 'a'), options);
    assert.equal(lstatSync(join(scratch, 'a/d/f')).mtimeMs, 1e12);
    assert.equal(lstatSync(join(scratch, 'a/d')).mtimeMs, 1e12);
    await packArtifact(built, planPaths(join(scratch, 'tree'), ['d/f'], DEFAULT_LIMITS));
    await extractArtifact(built, join(scratch, 'b'), options);
    assert.ok(lstatSync(join(scratch, 'b/d/f')).mtimeMs > CANONICAL_MTIME_S * 1000 + 1e12);
  }));

test('hard links inside the tree are unpacked as such, and packed as files', () =>
  inScratch(async (scratch) => {
    mkdirSync(join(scratch, 'tree'));
    writeFileSync(join(scratch, 'tree/a'), 'content');
    linkSync(join(scratch, 'tree/a'), join(scratch, 'tree/b'));
    const file = join(scratch, 'app.v1.tar.gz');
    execFileSync('tar', ['czf', file, '-C', join(scratch, 'tree'), '.']);
    await extractArtifact(file, join(scratch, 'out'), options);
    assert.equal(lstatSync(join(scratch, 'out/a')).ino, lstatSync(join(scratch, 'out/b')).ino);
    const entries = planPaths(join(scratch, 'tree'), ['a', 'b'], DEFAULT_LIMITS);
    assert.deepEqual(
      entries.map((entry) => entry.type),
      ['file', 'file'],
    );
  }));

test('a file that tar was given twice is unpacked once, and install.sh stays what it is', () =>
  inScratch(async (scratch) => {
    const root = join(scratch, 'tree');
    mkdirSync(root);
    writeFileSync(join(root, 'install.sh'), '#!/bin/sh\n', { mode: 0o755 });
    writeFileSync(join(root, 'other'), 'x');
    const file = join(scratch, 'app.v1.tar.gz');
    execFileSync('tar', ['czf', file, '-C', root, 'install.sh', ...readdirSync(root)]);
    const listing = execFileSync('tar', ['tzf', file], { encoding: 'utf8' });
    assert.equal(listing.match(/install\.sh/g)?.length, 2, 'tar stores it twice');
    const contents = await extractArtifact(file, join(scratch, 'out'), options);
    assert.equal(contents.entries, 2);
    assert.deepEqual(snapshot(join(scratch, 'out')), snapshot(root));
    assertLayout(contents);
  }));

test('unpacking into a directory that is not empty is refused', () =>
  inScratch(async (scratch) => {
    writeFileSync(join(scratch, 'f'), 'x');
    const file = join(scratch, 'app.v1.tar.gz');
    await packArtifact(file, planPaths(scratch, ['f'], DEFAULT_LIMITS));
    await assert.rejects(extractArtifact(file, scratch, options), /not empty/);
  }));

test('an unpacking that is cancelled ends with CANCELLED', () =>
  inScratch(async (scratch) => {
    writeFileSync(join(scratch, 'f'), 'x');
    const file = join(scratch, 'app.v1.tar.gz');
    await packArtifact(file, planPaths(scratch, ['f'], DEFAULT_LIMITS));
    const signal = AbortSignal.abort();
    await assert.rejects(extractArtifact(file, join(scratch, 'out'), { ...options, signal }), {
      code: 'CANCELLED',
    });
  }));
