import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { GweError } from '../../../src/base/errors.ts';
import { parseMountinfo } from '../../../src/base/mount-points.ts';
import { removeTree } from '../../../src/base/remove-tree.ts';
import { asRoot } from '../../helpers/as-root.ts';
import { bindMount, unmount } from '../../helpers/mounts.ts';

const rootTest = asRoot(import.meta.filename);

/** Removed after the test, but only once nothing is mounted at `mounts` any more. */
function scratch(t: TestContext, ...mounts: string[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-remove-'));
  t.after(() => {
    for (const at of mounts) unmount(join(directory, at));
    rmSync(directory, { recursive: true });
  });
  return directory;
}

/** A tree with something mounted below it, and what is mounted there. */
function treeWithMount(t: TestContext): { tree: string; at: string; data: string } {
  const directory = scratch(t, 'tree/a/b/user data');
  const [tree, data] = [join(directory, 'tree'), join(directory, 'user data')];
  mkdirSync(join(tree, 'a/b'), { recursive: true });
  mkdirSync(data);
  writeFileSync(join(tree, 'a/first'), '1');
  writeFileSync(join(data, 'precious'), 'years');
  const at = join(tree, 'a/b/user data');
  bindMount(data, at);
  return { tree, at, data };
}

function refusalOf(work: () => void): GweError {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof GweError, String(error));
    return error;
  }
  assert.fail('not refused');
}

test('a tree goes with links, which are not followed, odd names and directories without permissions', (t) => {
  const directory = scratch(t);
  const [tree, outside] = [join(directory, 'tree'), join(directory, 'outside')];
  mkdirSync(join(tree, 'a/\n -rf'), { recursive: true });
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/a/`), Buffer.from([0xff, 0xfe])]), 'x');
  mkdirSync(join(tree, 'shut'), { mode: 0o000 });
  mkdirSync(outside);
  writeFileSync(join(outside, 'kept'), 'k');
  symlinkSync(outside, join(tree, 'link'));
  removeTree(tree);
  assert.deepEqual(readdirSync(directory), ['outside']);
  assert.deepEqual(readdirSync(outside), ['kept']);
});

test('nothing is fine, a file is a tree, and a link goes without what it points at', (t) => {
  const directory = scratch(t);
  removeTree(join(directory, 'none'));
  writeFileSync(join(directory, 'file'), '');
  symlinkSync('file', join(directory, 'link'));
  removeTree(join(directory, 'link'));
  assert.deepEqual(readdirSync(directory), ['file']);
  removeTree(join(directory, 'file'));
  assert.deepEqual(readdirSync(directory), []);
});

test('a tree deeper than a path may be long goes as well', (t) => {
  const directory = scratch(t);
  const tree = join(directory, 'tree');
  // From the inside out: no path that is used here gets long.
  for (let depth = 0; depth < 700; depth++) {
    const outer = join(directory, 'outer');
    mkdirSync(outer);
    writeFileSync(join(outer, 'file'), '');
    if (existsSync(tree)) renameSync(tree, join(outer, 'a-directory'));
    renameSync(outer, tree);
  }
  removeTree(tree);
  assert.deepEqual(readdirSync(directory), []);
});

rootTest('a bind mount of the same device is not crossed, and nothing of the tree is removed', (t) => {
  const { tree, at, data } = treeWithMount(t);
  const refusal = refusalOf(() => removeTree(tree));
  assert.equal(refusal.code, 'STORE_MOUNTED');
  assert.ok(refusal.message.includes(`'${at}'`), refusal.message);
  assert.equal(readFileSync(join(data, 'precious'), 'utf8'), 'years');
  assert.equal(readFileSync(join(tree, 'a/first'), 'utf8'), '1');
});

rootTest('what is mounted at the tree itself is not emptied', (t) => {
  const directory = scratch(t, 'at');
  writeFileSync(join(directory, 'precious'), 'years');
  const at = join(directory, 'at');
  bindMount(directory, at);
  assert.equal(refusalOf(() => removeTree(at)).code, 'STORE_MOUNTED');
  assert.ok(existsSync(join(directory, 'precious')));
});

rootTest('once it is unmounted the tree goes, and what was mounted stays', (t) => {
  const directory = scratch(t);
  const [tree, data] = [join(directory, 'tree'), join(directory, 'data')];
  mkdirSync(data);
  writeFileSync(join(data, 'precious'), 'years');
  bindMount(data, join(tree, 'data'));
  refusalOf(() => removeTree(tree));
  unmount(join(tree, 'data'));
  removeTree(tree);
  assert.equal(existsSync(tree), false);
  assert.ok(existsSync(join(data, 'precious')));
});

test('mountinfo is read with escaped names, and with and without optional fields', () => {
  const text =
    '36 35 98:0 /mnt1 /mnt/a\\040b rw,noatime master:1 shared:2 - ext3 /dev/my\\134root rw\n' +
    '37 35 0:5 / /run rw - tmpfs tmpfs rw,size=1k\n';
  assert.deepEqual(parseMountinfo(text), [
    { path: '/mnt/a b', type: 'ext3', source: '/dev/my\\root' },
    { path: '/run', type: 'tmpfs', source: 'tmpfs' },
  ]);
});
