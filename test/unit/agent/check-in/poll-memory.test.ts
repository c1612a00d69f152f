import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextSince, sinceRead } from '../../../../src/agent/check-in/poll-memory.ts';

test('a read asks again for the second in which it was made, however long its answer took', () => {
  assert.equal(sinceRead(1000, 0), 998);
  assert.equal(sinceRead(1000, 1), 997);
  assert.equal(sinceRead(1000, 4200), 993);
});

test('a platform that tells no time is not asked by the time of this machine', () => {
  assert.equal(sinceRead(undefined, 5), undefined);
  assert.equal(nextSince(undefined, { hasChanged: true, value: '', lastModified: undefined }), undefined);
});

test('a wait without news keeps its time', () => {
  assert.equal(nextSince(7, { hasChanged: false, value: undefined, lastModified: 7, dateS: 1000 }), 7);
});

test('an old value moves the time on to its own, one of this second not quite', () => {
  assert.equal(nextSince(7, { hasChanged: true, value: '', lastModified: 900, dateS: 1000 }), 900);
  assert.equal(nextSince(7, { hasChanged: true, value: '', lastModified: 1000, dateS: 1000 }), 998);
  assert.equal(nextSince(7, { hasChanged: true, value: '', lastModified: 1003, dateS: 1000 }), 998);
  assert.equal(nextSince(7, { hasChanged: true, value: '', lastModified: 900 }), 900);
});

test('an answer without a time of its own moves it on by the time of the answer', () => {
  assert.equal(nextSince(7, { hasChanged: true, value: '', lastModified: 7, dateS: 1000 }), 998);
});
