import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createSyncBehind } from '../../../../src/artifact/unpack/sync-behind.ts';

/** Descriptors of regular files below `directory` that are open here. */
function openBelow(directory: string): number {
  return fs.readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith(directory);
    } catch {
      return false;
    }
  }).length;
}

function inDirectory(work: (directory: string) => Promise<void>): () => Promise<void> {
  return async () => {
    const directory = fs.mkdtempSync(join(tmpdir(), 'gwe-sync-'));
    try {
      await work(directory);
    } finally {
      fs.rmSync(directory, { recursive: true });
    }
  };
}

const openNew = (directory: string, name: number): number => fs.openSync(join(directory, String(name)), 'w');

test(
  'what was taken is closed when all is settled',
  inDirectory(async (directory) => {
    const sync = createSyncBehind();
    for (let name = 0; name < 20; name++) sync.take(openNew(directory, name));
    assert.ok(openBelow(directory) > 0);
    await sync.settle();
    assert.equal(openBelow(directory), 0);
  }),
);

test(
  'who does not wait in between gets no more descriptors open than a process may have',
  inDirectory(async (directory) => {
    const sync = createSyncBehind();
    for (let name = 0; name < 700; name++) sync.take(openNew(directory, name));
    assert.ok(openBelow(directory) < 300, `${openBelow(directory)} open`);
    await sync.settle();
    assert.equal(openBelow(directory), 0);
  }),
);

test(
  'there is room again once enough has been synced',
  inDirectory(async (directory) => {
    const sync = createSyncBehind();
    assert.equal(sync.room(), undefined);
    for (let name = 0; name < 100; name++) sync.take(openNew(directory, name));
    await sync.room();
    assert.ok(openBelow(directory) <= 40, `${openBelow(directory)} open`);
    await sync.settle();
  }),
);

test('what cannot be synced is an error of whoever waits for room or for the end', async () => {
  const sync = createSyncBehind();
  // No file system stands behind it: EINVAL.
  sync.take(fs.openSync('/dev/null', 'r'));
  await assert.rejects(sync.settle(), { code: 'STORE_IO' });
  await assert.rejects(async () => sync.room(), { code: 'STORE_IO' });
});

test(
  'what is dropped is closed without waiting for the disk',
  inDirectory(async (directory) => {
    const sync = createSyncBehind();
    for (let name = 0; name < 50; name++) sync.take(openNew(directory, name));
    sync.drop();
    assert.ok(openBelow(directory) <= 2, `${openBelow(directory)} open`);
    await sync.settle();
    assert.equal(openBelow(directory), 0);
  }),
);
