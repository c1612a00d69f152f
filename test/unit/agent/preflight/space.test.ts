import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lackOfRoom, type Room } from '../../../../src/agent/preflight/space.ts';

const ROOM: Room = {
  path: '/opt/gwe/apps',
  neededBytes: 1000,
  reserveBytes: 100,
  freeBytes: 1100,
  neededInodes: 20,
  freeInodes: 20,
};

test('what fits to the byte and to the inode, with the reserve, is no lack', () => {
  assert.equal(lackOfRoom("fetch 'a'", [ROOM]), undefined);
  const { freeInodes: _uncounted, ...uncounted } = ROOM;
  assert.equal(lackOfRoom("fetch 'a'", [uncounted]), undefined);
});

test('one byte or one inode short on any of the file systems is a lack, reported with its numbers', () => {
  const bytes = lackOfRoom("fetch 'a'", [ROOM, { ...ROOM, path: '/var', freeBytes: 1099 }]);
  assert.equal(bytes?.code, 'STORE_NO_SPACE');
  assert.match(
    bytes?.message ?? '',
    /^cannot fetch 'a': 1099 bytes free on the disk of '\/var', expected 1100/,
  );
  const inodes = lackOfRoom("fetch 'a'", [{ ...ROOM, freeInodes: 19 }]);
  assert.match(inodes?.message ?? '', /19 inodes free .*expected 20/);
});
