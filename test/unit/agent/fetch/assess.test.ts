import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refuseWhole } from '../../../../src/agent/fetch/assess.ts';
import { addCounts, createCounts, type Item, withOwnCounts } from '../../../../src/agent/fetch/item.ts';
import { createSystemClock } from '../../../../src/base/clock.ts';
import { loadEngineConfig } from '../../../../src/config/config-files.ts';
import { createContentApi } from '../../../../src/protocol/content-api.ts';

const REQUEST = {
  app: 'app',
  version: '2',
  contentId: 'app.v2.tar.gz',
  source: { kind: 'content' },
} as const;
const ACTIVE = { version: '1', digest: 'd', contentId: 'app.v1.tar.gz', hasProgram: true, installedAtMs: 0 };

/** A gateway by what the policy of whole downloads looks at. */
function gateway(deltaFallback: string, isInstalled = true) {
  const { values } = loadEngineConfig('/nonexistent/Engine.config');
  const record = { refused: [], ...(isInstalled ? { active: ACTIVE } : {}) };
  return {
    settings: () => ({ ...values, deltaFallback }),
    installed: { get: () => record, all: () => ({ app: record }), set: () => undefined },
  };
}

const codeOf = (context: ReturnType<typeof gateway>, bytes: number): string | undefined =>
  refuseWhole(context, REQUEST, bytes, 'for a reason')?.code;

test('an app that is installed is fetched whole only as delta_fallback allows', () => {
  assert.equal(codeOf(gateway('full'), 1_000_000), undefined);
  assert.equal(codeOf(gateway('fail'), 1), 'DOWNLOAD_REFUSED');
  assert.equal(codeOf(gateway('full-below 1000'), 999), undefined);
  assert.equal(codeOf(gateway('full-below 1000'), 1000), 'DOWNLOAD_REFUSED');
});

test('an app that the gateway does not have yet is fetched whole under every policy', () => {
  for (const policy of ['full', 'fail', 'full-below 1'])
    assert.equal(codeOf(gateway(policy, false), 1_000_000), undefined, policy);
});

test('the refusal tells the bytes, the reason and the way out', () => {
  const { message = '', facts } = refuseWhole(gateway('fail'), REQUEST, 5000, 'its index is gone') ?? {};
  assert.match(
    message,
    /'app\.v2\.tar\.gz': 5000 bytes .*its index is gone.*'fail'; allow it: gwe --set delta_fallback=full/,
  );
  assert.deepEqual(facts, { fetchBytes: 5000 });
});

test('what a step costs is counted separately until it is added to the item', () => {
  const transport = {
    request: () => Promise.reject(new Error('nothing is asked')),
    stream: () => Promise.reject(new Error('nothing is streamed')),
    close: () => undefined,
  };
  const product = { vendor: 'p', model: 'p', style: 'triple' } as const;
  const item: Item = {
    api: createContentApi({ transport, cik: () => 'key', product, clock: createSystemClock() }),
    request: REQUEST,
    info: { type: '', sizeBytes: 10, updated: 1, meta: '' },
    signal: new AbortController().signal,
    counts: createCounts(),
  };
  const step = withOwnCounts(item);
  step.counts.requests += 1;
  step.counts.fetchedBytes += 7;
  assert.deepEqual(item.counts, createCounts());
  addCounts(item.counts, step.counts);
  assert.deepEqual(item.counts, { ...createCounts(), requests: 1, fetchedBytes: 7 });
});
