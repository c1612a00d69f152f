/** A damaged file system, or somebody, may have left a directory where gwe puts a file or a link: it never stops gwe. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import * as gweFs from '../../../src/base/fs.ts';

/** Every way in which something of gwe's takes a name by a rename. */
const WAYS: Record<string, (path: string) => void> = {
  'writing a file': (path) => gweFs.writeFileDurable(path, 'new'),
  'copying a file': (path) => gweFs.copyFileDurable(join(dirname(path), 'other'), path, 0o644),
  'setting a link': (path) => gweFs.swapLink('other', path),
};

for (const [way, put] of Object.entries(WAYS)) {
  test(`${way} moves a directory in its place aside, with what is in it`, (t) => {
    const root = mkdtempSync(join(tmpdir(), 'gwe-displaced-'));
    t.after(() => rmSync(root, { recursive: true }));
    writeFileSync(join(root, 'other'), 'new');
    const path = join(root, 'name');
    mkdirSync(path);
    writeFileSync(join(path, 'mine'), 'kept');
    put(path);
    assert.equal(readFileSync(path, 'utf8'), 'new');
    assert.equal(readFileSync(join(`${path}.unreadable`, 'mine'), 'utf8'), 'kept');
    assert.deepEqual(readdirSync(root).sort(), ['name', 'name.unreadable', 'other']);
  });
}
