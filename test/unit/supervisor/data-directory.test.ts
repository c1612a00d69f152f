import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  assertDataDirectory,
  ensureDataDirectory,
  programOwner,
  restoreDataDirectory,
} from '../../../src/supervisor/data-directory.ts';
import { renderProgram } from '../../../src/supervisor/program.ts';

const ROOT = { uid: 0, gid: 0 };
const OTHER = { uid: 65534, gid: 65534 };

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-data-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, 'var/opt/gwe/app');
}

test('a missing data directory is made for its owner alone, whatever the umask', (t) => {
  const path = scratch(t);
  const before = process.umask(0o077);
  t.after(() => process.umask(before));
  assert.equal(ensureDataDirectory(path, OTHER), true);
  const stat = statSync(path);
  assert.equal(stat.mode & 0o7777, 0o750);
  assert.deepEqual([stat.uid, stat.gid], [OTHER.uid, OTHER.gid]);
  assert.equal(ensureDataDirectory(path, OTHER), false);
});

test('one that is there changes its owner, never its mode, and nothing below it changes', (t) => {
  const path = scratch(t);
  mkdirSync(path, { recursive: true });
  chmodSync(path, 0o755);
  writeFileSync(join(path, 'key'), 'k');
  ensureDataDirectory(path, OTHER);
  assert.deepEqual([statSync(path).uid, statSync(path).mode & 0o7777], [OTHER.uid, 0o755]);
  assert.equal(statSync(join(path, 'key')).uid, ROOT.uid);
});

test('a link to a directory is followed, and a link to nothing or a file is refused by name', (t) => {
  const path = scratch(t);
  mkdirSync(join(path, '..'), { recursive: true });
  const elsewhere = join(path, '../elsewhere');
  symlinkSync(elsewhere, path);
  assert.throws(
    () => ensureDataDirectory(path, ROOT),
    /'.*\/app': it is a link to '.*\/elsewhere', which is not a directory or not there/,
  );
  mkdirSync(elsewhere);
  assert.equal(ensureDataDirectory(path, OTHER), false);
  assert.equal(statSync(elsewhere).uid, OTHER.uid);
  rmSync(path);
  writeFileSync(path, '');
  assert.throws(() => ensureDataDirectory(path, ROOT), /expected a directory/);
});

test('the owner is the user of the entry, the last one written; none is whoever runs gwe', () => {
  assert.deepEqual(programOwner('[program:a]\ncommand = x\n'), {
    uid: process.getuid?.(),
    gid: process.getgid?.(),
  });
  assert.equal(programOwner('[program:a]\nuser = root\nuser = nobody\n')?.uid, 65534);
  assert.equal(programOwner('[program:a]\nuser = no-such-user\n'), undefined);
});

test('a missing data directory is made again for an entry that names it, and for no other', (t) => {
  const path = scratch(t);
  assert.equal(
    restoreDataDirectory(path, '[program:a]\ncommand = x\ndirectory = /opt/gwe/apps/a/current\n'),
    false,
  );
  assert.equal(restoreDataDirectory(path, '[program:a]\nenvironment = GWE_DATA_DIR="/elsewhere"\n'), false);
  const entry = renderProgram('a', '[supervisord]\ncommand = x\nuser = nobody\ndirectory = /srv\n', {
    logDirectory: '/var/log',
    dataDirectory: path,
  });
  assert.equal(restoreDataDirectory(path, entry.text), true);
  assert.equal(statSync(path).uid, OTHER.uid);
  assert.equal(restoreDataDirectory(path, entry.text), false);
});

/** What is in the place of a data directory, or above it; where it cannot be used, what its refusal names. */
const PLACES: [what: string, make: (path: string) => void, refusal?: RegExp][] = [
  ['a directory', (path) => mkdirSync(path, { recursive: true })],
  ['nothing, nor any directory above', () => undefined],
  [
    'a link to a directory',
    (path) => {
      mkdirSync(join(path, '../elsewhere'), { recursive: true });
      symlinkSync('elsewhere', path);
    },
  ],
  [
    'a link to a disk that is not mounted',
    (path) => {
      mkdirSync(dirname(path), { recursive: true });
      symlinkSync('/mnt/no-such-disk', path);
    },
    /\/app': it is a link to '\/mnt\/no-such-disk'/,
  ],
  [
    'a link to itself',
    (path) => {
      mkdirSync(dirname(path), { recursive: true });
      symlinkSync('app', path);
    },
    /\/app'.*(?:ELOOP|link to 'app')/,
  ],
  [
    'a file',
    (path) => {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, 'mine');
    },
    /\/app': it is not a directory/,
  ],
  [
    'a file above it',
    (path) => {
      mkdirSync(join(path, '../../..'), { recursive: true });
      writeFileSync(join(path, '../..'), 'mine');
    },
    /\/var\/opt': it is not a directory/,
  ],
  [
    'a dangling link above it',
    (path) => {
      mkdirSync(join(path, '../../..'), { recursive: true });
      symlinkSync('/mnt/no-such-disk', join(path, '../..'));
    },
    /\/var\/opt': it is a link to '\/mnt\/no-such-disk'/,
  ],
];

for (const [what, make, refusal] of PLACES) {
  test(`the look before an update and the making of it agree on ${what}, and the look changes nothing`, (t) => {
    const path = scratch(t);
    make(path);
    const before = existsSync(path);
    if (refusal === undefined) {
      assertDataDirectory(path);
      assert.equal(existsSync(path), before);
      ensureDataDirectory(path, undefined);
      return;
    }
    assert.throws(() => assertDataDirectory(path), { code: 'STORE_IO', message: refusal });
    assert.throws(() => ensureDataDirectory(path, undefined), { code: 'STORE_IO' });
  });
}
