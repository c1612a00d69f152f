import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GweError } from '../../../src/base/errors.ts';
import {
  DEFAULT_RETRY_POLICY,
  downloadError,
  isProgress,
  isWorthRetrying,
  pauseBefore,
  RangesIgnored,
} from '../../../src/protocol/retry.ts';

const POLICY = { tries: 5, firstPauseMs: 1000, longestPauseMs: 8000 };
const LOST = new GweError('PROTOCOL_OFFLINE', 'lost');
const noHeaders = { get: () => null };

test('pauses double up to the longest, less a random part of up to a half', () => {
  const most = [1, 2, 3, 4, 5, 60].map((failures) => pauseBefore(failures, POLICY, LOST, () => 0));
  assert.deepEqual(most, [1000, 2000, 4000, 8000, 8000, 8000]);
  const least = [1, 2, 3].map((failures) => pauseBefore(failures, POLICY, LOST, () => 1));
  assert.deepEqual(least, [500, 1000, 2000]);
});

test('a time that the platform names is kept to, an hour at the most', () => {
  const busy = (retryAfterMs: number) => new GweError('PROTOCOL_BUSY', 'busy', { facts: { retryAfterMs } });
  assert.equal(
    pauseBefore(1, POLICY, busy(90_000), () => 0),
    90_000,
  );
  assert.equal(
    pauseBefore(1, POLICY, busy(10), () => 0),
    1000,
  );
  assert.equal(
    pauseBefore(1, DEFAULT_RETRY_POLICY, busy(86_400_000), () => 0),
    3_600_000,
  );
});

test('only what may be otherwise in a while is tried again', () => {
  const codes = [
    'PROTOCOL_OFFLINE',
    'PROTOCOL_BUSY',
    'PROTOCOL_GARBAGE',
    'DOWNLOAD_NOT_FOUND',
    'CANCELLED',
  ] as const;
  assert.deepEqual(
    codes.map((code) => isWorthRetrying(new GweError(code, 'x'))),
    [true, true, true, false, false],
  );
  assert.equal(isWorthRetrying(new RangesIgnored('a')), false);
  assert.equal(isWorthRetrying(new Error('a fault of gwe')), false);
});

test('a kilobyte is progress, a trickle or a line given up for being slow is not', () => {
  const slow = new GweError('PROTOCOL_OFFLINE', 'slow', { facts: { isSlow: true } });
  assert.deepEqual(
    [isProgress(1023, LOST), isProgress(1024, LOST), isProgress(1_000_000, slow)],
    [false, true, false],
  );
});

test('a status says whether the item is missing, refused permanently, or to be tried again', () => {
  const api = { clock: { wallMs: () => 0 } };
  const codeOf = (status: number): string =>
    downloadError(api, 'a.v1.tar.gz', { status, headers: noHeaders }).code;
  assert.deepEqual([404, 410, 204].map(codeOf), Array(3).fill('DOWNLOAD_NOT_FOUND'));
  assert.deepEqual([408, 429, 500, 503].map(codeOf), Array(4).fill('PROTOCOL_BUSY'));
  assert.deepEqual([400, 403].map(codeOf), Array(2).fill('DOWNLOAD_REFUSED'));
  assert.equal(codeOf(401), 'PROTOCOL_UNAUTHORIZED');
});
