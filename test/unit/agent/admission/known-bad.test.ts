/** What failed is tried again when its command is written again, less and less often. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { knownBad } from '../../../../src/agent/admission/known-bad.ts';
import { composeContext } from '../../../../src/agent/run/compose.ts';
import { createLogger } from '../../../../src/base/log.ts';
import { withRefusal } from '../../../../src/store/installed.ts';
import { createLayout } from '../../../../src/store/layout.ts';

const INTERVAL_S = 100;
const NAME = `${'n'.repeat(60)}.v${'1'.repeat(60)}.tar.gz`;
const refusal = { contentId: NAME, digest: 'd', commandDigest: 'c', reason: 'install.sh exited with 3' };

interface Asked {
  app: string;
  commandDigest: string;
  bytes: string;
}

/** The answer `afterS` seconds after the last of `failures` under the same command. */
function answer(failures: number, afterS: number, asked: Partial<Asked> = {}) {
  const { app = 'one', commandDigest = 'c', bytes = 'd' } = asked;
  let record = withRefusal({ refused: [] }, { ...refusal, commandDigest: 'another', failedAtMs: 0 });
  for (let count = 0; count < failures; count += 1)
    record = withRefusal(record, { ...refusal, failedAtMs: 1_000_000 });
  const context = composeContext({
    layout: createLayout('/nonexistent'),
    log: createLogger({ level: 'error', format: 'text', clock: { wallMs: () => 0 }, write: () => undefined }),
    env: {},
    gweVersion: '2.1.0',
    signal: new AbortController().signal,
  });
  const settings = { ...context.settings(), updateIntervalS: INTERVAL_S };
  const clock = { ...context.clock, wallMs: () => 1_000_000 + afterS * 1000 };
  const installed = { ...context.installed, get: () => record };
  return knownBad(
    { installed, clock, settings: () => settings },
    { app, contentId: NAME, commandDigest },
    ({ digest }) => digest === bytes,
  );
}

test('the same command waits an interval, then twice as long after each failure, a day at the most', () => {
  for (const [failures, pauseS] of [
    [1, 100],
    [2, 200],
    [4, 800],
    [60, 86_400],
  ] as const) {
    assert.equal(answer(failures, pauseS - 1)?.code, 'ARTIFACT_REFUSED', `${failures} failures`);
    assert.equal(answer(failures, pauseS), undefined, `${failures} failures`);
  }
});

test('another command, or other bytes, are tried at once, gwe itself never by the same one', () => {
  assert.equal(answer(3, 1, { commandDigest: 'new' }), undefined);
  assert.equal(answer(3, 1, { bytes: 'e' }), undefined);
  const own = answer(1, 1e9, { app: 'gwe' })?.message ?? '';
  assert.match(own, /^cannot install it again now: add any key/);
  assert.doesNotMatch(own, /the same command again in/);
});

test('a clock that went back does not keep a command waiting', () => {
  assert.equal(answer(1, -900), undefined);
});

test('the advice stands in the first 200 characters', () => {
  const shown = (answer(1, 10)?.message ?? '').slice(0, 200);
  assert.match(shown, /add any key to the command \("id": 2\), or write the same command again in 90 s/);
  assert.match(shown, /upload a corrected tarball/);
  assert.match(answer(1, 10)?.message ?? '', /install\.sh exited with 3$/);
});
