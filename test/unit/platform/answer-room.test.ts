import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import {
  FREE_ANSWER_BYTES,
  MAX_ANSWERS_BYTES,
  MAX_ANSWERS_BYTES_PER_SENDER,
} from '../../../src/platform/bounds.ts';
import { createAnswerRoom } from '../../../src/platform/http/answer-room.ts';

const cutOff = (): void => undefined;

test('a sender has one answer of any size, or several up to his bound, and small ones always', () => {
  const room = createAnswerRoom(1000, createSystemClock());
  const leave = room.hold('a', 2 * MAX_ANSWERS_BYTES_PER_SENDER, cutOff);
  assert.ok(leave !== undefined);
  assert.equal(room.hold('a', FREE_ANSWER_BYTES + 1, cutOff), undefined);
  assert.ok(room.hold('a', FREE_ANSWER_BYTES, cutOff) !== undefined);
  assert.ok(room.hold('b', MAX_ANSWERS_BYTES_PER_SENDER / 2, cutOff) !== undefined);
  assert.ok(room.hold('b', MAX_ANSWERS_BYTES_PER_SENDER / 2, cutOff) !== undefined);
  assert.equal(room.hold('b', FREE_ANSWER_BYTES + 1, cutOff), undefined);
  leave();
  leave();
  assert.ok(room.hold('a', FREE_ANSWER_BYTES + 1, cutOff) !== undefined);
});

test('where all together have too much unread, the oldest answer is cut off for the newest', () => {
  const room = createAnswerRoom(1000, createSystemClock());
  const ended: number[] = [];
  for (let n = 0; n <= 4; n++) room.hold(`${n}`, MAX_ANSWERS_BYTES / 4, () => ended.push(n));
  assert.deepEqual(ended, [0]);
  assert.ok(room.hold('0', MAX_ANSWERS_BYTES, cutOff) !== undefined, 'it holds nothing any more');
  assert.deepEqual(ended, [0, 1, 2, 3, 4]);
});
