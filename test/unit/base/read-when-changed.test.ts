import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { copyPath, readWhenChanged } from '../../../src/base/edited-file.ts';
import { until } from '../../helpers/until.ts';

function place(): { path: string; beside: string; remove(): void } {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-unchanged-'));
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  return { path: join(directory, 'file'), beside: join(directory, 'beside'), remove };
}

/** Counts its reads of `path`. */
function counted(path: string): { read: () => number; times(): number } {
  let times = 0;
  const read = readWhenChanged(path, () => {
    times++;
    return statSync(path, { throwIfNoEntry: false })?.size ?? -1;
  });
  return { read, times: () => times };
}

/** Nobody but the kernel sets the time of a change: files get old by themselves. */
const isOld = (path: string): boolean => Date.now() - statSync(path).ctimeMs > 2100;

test('a file that was not changed is read once, one that was is read again', async () => {
  const { path, beside, remove } = place();
  try {
    writeFileSync(path, 'one');
    await until(() => isOld(path));
    const { read, times } = counted(path);
    assert.deepEqual([read(), read(), read(), times()], [3, 3, 3, 1]);
    writeFileSync(path, 'another');
    assert.equal(read(), 7, 'changed where it is');
    writeFileSync(beside, 'a third one');
    renameSync(beside, path);
    assert.equal(read(), 11, 'replaced');
    rmSync(path);
    assert.equal(read(), -1, 'removed');
    const before = times();
    assert.deepEqual([read(), read(), times()], [-1, -1, before], 'that it is not there is known as well');
    writeFileSync(path, 'new');
    assert.equal(read(), 3, 'made');
  } finally {
    remove();
  }
});

test('a file whose time of writing is set back has changed all the same', async () => {
  const { path, remove } = place();
  try {
    writeFileSync(path, 'one');
    await until(() => isOld(path));
    const { read, times } = counted(path);
    read();
    const { atime, mtime } = statSync(path);
    writeFileSync(path, 'two');
    utimesSync(path, atime, mtime);
    read();
    assert.equal(times(), 2);
  } finally {
    remove();
  }
});

test('one that was changed a moment ago is read each time', () => {
  const { path, remove } = place();
  try {
    const { read, times } = counted(path);
    // As often as it takes to have both reads within the moment, however busy the machine is.
    for (;;) {
      writeFileSync(path, 'new');
      const before = times();
      read();
      read();
      if (Date.now() - statSync(path).ctimeMs >= 1900) continue;
      assert.equal(times(), before + 2);
      return;
    }
  } finally {
    remove();
  }
});

test('a change of its copy counts, and what reading throws is not kept', async () => {
  const { path, remove } = place();
  try {
    writeFileSync(path, 'one');
    await until(() => isOld(path));
    let fails = true;
    let times = 0;
    const read = readWhenChanged(path, () => {
      times++;
      if (fails) throw new Error('not now');
      return times;
    });
    assert.throws(read, /not now/);
    fails = false;
    assert.deepEqual([read(), read()], [2, 2]);
    writeFileSync(copyPath(path), '');
    assert.equal(read(), 3);
  } finally {
    remove();
  }
});
