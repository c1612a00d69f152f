/** A tarball of many chunks, which is a gzip file of many members, in the hands of programs that know nothing of either. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { DEFAULT_LIMITS } from '../../../src/artifact/limits.ts';
import { packIndexed } from '../../../src/artifact/make/pack-indexed.ts';
import { listTree, planPaths } from '../../../src/artifact/make/plan-tree.ts';
import { extractArtifact } from '../../../src/artifact/unpack/extract.ts';

let scratch: string;
let file: string;

/** 3 MB in 130 files, of which two are large. */
function plantTree(root: string): void {
  const noise = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16)).update(
    Buffer.alloc(800_000),
  );
  const text = Array.from({ length: 40_000 }, (_, at) => `line ${at * at}\n`).join('');
  const files: Record<string, string | Buffer> = {
    'install.sh': '#!/bin/sh\n',
    'bin/native': noise,
    'text.txt': text,
  };
  for (let at = 0; at < 120; at++)
    files[`lib/module-${at}/index.js`] = text.slice(at * 100, at * 100 + at * 90);
  files[`lib/${'long'.repeat(40)}/Müller`] = 'x';
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), content, { mode: path.startsWith('bin/') ? 0o755 : 0o644 });
  }
  symlinkSync('../bin/native', join(root, 'lib/link'));
}

before(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'gwe-readers-'));
  file = join(scratch, 'app.v1.tar.gz');
  const root = join(scratch, 'tree');
  plantTree(root);
  const entries = planPaths(root, listTree(root, ''), DEFAULT_LIMITS);
  await packIndexed(file, { facts: { name: 'app', version: '1' }, entries });
  const { index } = await extractArtifact(file, join(scratch, 'ours'), { limits: DEFAULT_LIMITS });
  assert.ok((index?.manifest.chunks?.length ?? 0) > 10);
});
after(() => rmSync(scratch, { recursive: true, force: true }));

const PYTHON_UNPACK = `
import sys, tarfile
with tarfile.open(sys.argv[1], 'r:gz') as tar:
    try: tar.extractall(sys.argv[2], filter='fully_trusted')
    except TypeError: tar.extractall(sys.argv[2])
`;
const READERS: Readonly<Record<string, (out: string) => readonly string[]>> = {
  'GNU tar': (out) => ['tar', 'xzpf', file, '-C', out],
  bsdtar: (out) => ['bsdtar', '-xpf', file, '-C', out],
  'busybox tar': (out) => ['busybox', 'tar', 'xzpf', file, '-C', out],
  "Python's tarfile": (out) => ['python3', '-c', PYTHON_UNPACK, file, out],
};

/** Modes, kinds and targets; what is in the files is for diff to compare. */
const listing = (root: string): string =>
  execFileSync('find', [root, '-mindepth', '1', '-printf', '%P %y %m %l\n'], { encoding: 'utf8' })
    .split('\n')
    .sort()
    .join('\n');

for (const [reader, command] of Object.entries(READERS)) {
  test(`${reader} unpacks the same tree as gwe, without a complaint`, () => {
    const out = join(scratch, reader);
    mkdirSync(out);
    const [program = '', ...args] = command(out);
    const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
    assert.deepEqual([status, stderr], [0, '']);
    execFileSync('diff', ['-r', '--no-dereference', join(scratch, 'ours'), out]);
    assert.equal(listing(out), listing(join(scratch, 'ours')));
  });
}

test('gzip tests it without a complaint, and unpacks all of it', () => {
  for (const args of [['-t'], ['-d', '-c']]) {
    const options = { input: readFileSync(file), maxBuffer: 2 ** 26 };
    const { status, stderr, stdout } = spawnSync('gzip', args, options);
    assert.deepEqual([status, stderr.toString()], [0, '']);
    if (args.includes('-d'))
      assert.ok(stdout.length > 1_500_000 && stdout.subarray(-1024).every((byte) => byte === 0));
  }
});

test('the same tree gives the same bytes, however the threads finish', async () => {
  const again = join(scratch, 'again.tar.gz');
  const root = join(scratch, 'tree');
  const entries = planPaths(root, listTree(root, '').reverse(), DEFAULT_LIMITS);
  await packIndexed(again, { facts: { name: 'app', version: '1' }, entries });
  assert.ok(readFileSync(again).equals(readFileSync(file)));
});
