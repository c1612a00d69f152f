/** The fleet reads what the agent of this very source writes, and anything else without harm. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { renderDeviceInfo } from '../../../../src/agent/reports/device-info.ts';
import { renderEngineReport } from '../../../../src/agent/reports/engine-report.ts';
import { decodeDeviceInfo, decodeUsageReport } from '../../../../src/fleet/gateway/device-info.ts';
import { decodeEngineReport, MAX_APPS, mergeApps } from '../../../../src/fleet/gateway/engine-report.ts';
import { decodeFetchStatus } from '../../../../src/fleet/gateway/fetch-status.ts';
import { createSystemFiles } from '../../../../src/machine/system-files.ts';
import { renderFetchStatus } from '../../../../src/protocol/messages.ts';

const AT = 1_800_000_000;
const DIGEST = 'ab'.repeat(32);

const status = {
  name: 'hello',
  version: '2.1',
  status: 'failure',
  exitcode: 3,
  test: 'passed',
  info: 'line one\nname: other\n',
  outcome: 'rolled-back',
  tx: '0lz3k1abc-00',
  command: 'r-7',
  code: 'INSTALL_FAILED',
  phase: 'installing',
  reason: 'install.sh exited with 3',
  lines: ['cannot open /dev/ttyS9'],
  bytes: 1200,
  bytes_full: 9000,
  seconds: 2.5,
  seq: 4,
};

for (const format of ['json', 'text'] as const) {
  test(`a failure as ${format} is read in full`, () => {
    const read = decodeFetchStatus(renderFetchStatus(status, format));
    assert.deepEqual(read, {
      app: 'hello',
      version: '2.1',
      outcome: 'rolled-back',
      isWaiting: false,
      tx: '0lz3k1abc-00',
      command: 'r-7',
      code: 'INSTALL_FAILED',
      phase: 'installing',
      percent: undefined,
      reason: 'install.sh exited with 3',
      lines: ['cannot open /dev/ttyS9'],
      bytes: 1200,
      bytesFull: 9000,
      seconds: 2.5,
      failureSequence: 4,
    });
  });
}

test('an update under way has no outcome, and says how far it is', () => {
  const text = renderFetchStatus(
    { ...status, outcome: 'in progress', status: 'in progress', percent: 40 },
    'json',
  );
  const read = decodeFetchStatus(text);
  assert.deepEqual([read?.outcome, read?.percent, read?.phase], [undefined, 40, 'installing']);
});

test('an update that waits for its data budget is under way and waits', () => {
  const read = decodeFetchStatus(JSON.stringify({ ...status, outcome: 'waiting', code: 'BUDGET_SPENT' }));
  assert.deepEqual([read?.outcome, read?.isWaiting, read?.code], [undefined, true, 'BUDGET_SPENT']);
});

test('the report of an agent before gwe is read by its documented keys', () => {
  const old = { name: 'hello', version: '1.0', exitcode: 0, test: 'passed', info: '' };
  assert.equal(decodeFetchStatus(JSON.stringify({ ...old, status: 'success' }))?.outcome, 'installed');
  assert.equal(decodeFetchStatus(JSON.stringify({ ...old, status: 'failure' }))?.outcome, 'failed-no-change');
});

test('a text that does not report an update is ignored', () => {
  const cases = [
    '',
    'null',
    '[]',
    '{}',
    '"x"',
    '{"name":"hello"}',
    '{"name":"hello","version":"1","outcome":"great"}',
  ];
  for (const text of [
    ...cases,
    '{"name":"hello","version":"1","status":"log","outcome":"log"}',
    'name: ../x\nversion: 1\n',
  ])
    assert.equal(decodeFetchStatus(text), undefined, text);
});

test('a command that could not be read is reported without a name', () => {
  const text =
    '{"name":"","version":"","status":"failure","outcome":"rejected","tx":"t-00","code":"COMMAND_INVALID"}';
  assert.deepEqual([decodeFetchStatus(text)?.app, decodeFetchStatus(text)?.code], ['', 'COMMAND_INVALID']);
});

test('apps are read from what the agent writes, also when it leaves fields out for want of room', () => {
  const facts = Array.from({ length: 40 }, (_, at) => ({
    app: `app${at}`,
    version: '2.0',
    status: at === 0 ? 'FATAL' : 'RUNNING',
    exitStatus: 0,
    digest: DIGEST,
    previous: '1.9',
    restarts: at,
  }));
  const parts = { files: createSystemFiles() };
  const whole = decodeEngineReport(renderEngineReport(facts, { ...parts, maxBytes: 60_000 }).text, AT);
  assert.equal(whole?.apps.size, 40);
  assert.deepEqual(whole?.apps.get('app3'), {
    version: '2.0',
    digest: DIGEST,
    previous: '1.9',
    status: 'RUNNING',
    restarts: 3,
    lastOutcome: undefined,
    seenAt: AT,
  });
  const short = decodeEngineReport(renderEngineReport(facts, { ...parts, maxBytes: 4096 }).text, AT + 1);
  assert.ok(whole !== undefined && short !== undefined && !short.isCut);
  const merged = mergeApps(whole.apps, short);
  assert.equal(merged.get('app39')?.digest, DIGEST);
  const cut = decodeEngineReport(renderEngineReport(facts, { ...parts, maxBytes: 1024 }).text, AT + 2);
  assert.ok(cut?.isCut && cut.apps.size < 40);
  assert.equal(mergeApps(merged, cut).size, 40);
});

test('an app that is gone from a whole report is gone; one of another version has not the digest of the old one', () => {
  const known = new Map([['a', { version: '1', digest: DIGEST, status: 'RUNNING', seenAt: AT }]]);
  const other = decodeEngineReport('{"apps":[{"a":{"version":"2","status":"RUNNING"}}]}', AT);
  assert.equal(other && mergeApps(known, other).get('a')?.digest, undefined);
  const none = decodeEngineReport('{"apps":[]}', AT);
  assert.equal(none && mergeApps(known, none).size, 0);
});

test('bad rows of a report cost themselves alone', () => {
  const rows = [
    { a: { version: '1', status: 'RUNNING' } },
    7,
    { b: null },
    { '../c': { version: '1' } },
    { d: {}, e: {} },
  ];
  const text = `{"apps":[${rows.map((row) => JSON.stringify(row)).join(',')},{"__proto__":{"version":"9"}}]}`;
  const read = decodeEngineReport(text, AT);
  assert.deepEqual([[...(read?.apps.keys() ?? [])], read?.badRows], [['a'], 5]);
});

test('more apps than there is room for are left out', () => {
  const rows = Array.from({ length: MAX_APPS + 50 }, (_, at) => ({ [`a${at}`]: { version: '1' } }));
  const read = decodeEngineReport(JSON.stringify({ apps: rows }), AT);
  assert.deepEqual([read?.apps.size, read?.isCut], [MAX_APPS, true]);
});

test('a machine is read from what the agent writes', () => {
  const { text } = renderDeviceInfo({
    files: createSystemFiles(),
    gweVersion: '2.0.0',
    gweUptimeS: 5,
    clock: { now: AT, state: 'right' },
    supervisord: { version: '4.2.5' },
    maxBytes: 60_000,
  });
  const info = decodeDeviceInfo(text);
  assert.equal(info?.gweVersion, '2.0.0');
  assert.match(info?.target ?? '', /^linux-/);
  assert.ok((info?.uptimeS ?? 0) > 0 && (info?.freeBytes ?? 0) > 0);
});

test('which release list a gateway goes by is read from its own words, and from no others', () => {
  const of = (releases: unknown): unknown => decodeDeviceInfo(JSON.stringify({ releases }))?.releases;
  assert.deepEqual(of({ state: 'stale', release: 3, expires: AT, stale_ok: true }), {
    state: 'stale',
    release: 3,
    expires: AT,
    isLenient: true,
  });
  assert.deepEqual(of({ state: 'fresh', release: -1, expires: 'x', stale_ok: 1 }), { state: 'fresh' });
  for (const other of [undefined, null, 'fresh', [], { state: 'good' }, {}])
    assert.equal(of(other), undefined);
});

test('free bytes are those of the file system that apps are on', () => {
  const mounts = [
    { path: '/', available: 1 },
    { path: '/opt', available: 2 },
    { path: '/opt/gwe/apps-old', available: 3 },
    { path: '/optional', available: 4 },
    { path: '/var', available: 5 },
  ];
  assert.equal(decodeDeviceInfo(JSON.stringify({ mounts }))?.freeBytes, 2);
});

test('the budget is read from the ledger', () => {
  const text = '{"eth0":{},"gwe_ledger":{"budget_left":500,"waiting":"hello 2.1"}}';
  assert.deepEqual(decodeUsageReport(text), { budgetLeftBytes: 500, waiting: 'hello 2.1' });
});

test('no text from a gateway throws, and nothing of it comes out longer than its bound or with a control character', () => {
  const key = fc.constantFrom(
    'name',
    'version',
    'outcome',
    'status',
    'tx',
    'reason',
    'lines',
    'apps',
    'mounts',
    'interval',
  );
  const value = fc.oneof(
    fc.jsonValue(),
    fc.string({ unit: 'binary', maxLength: 3000 }),
    fc.constantFrom('hello', '2.1', 'rejected'),
  );
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.dictionary(key, value).map((fields) => JSON.stringify(fields)),
    fc.constantFrom('['.repeat(100_000), '{"a":'.repeat(50_000), `{"name":"${'x'.repeat(300_000)}"}`),
  );
  fc.assert(
    fc.property(text, (report) => {
      const read = [
        decodeFetchStatus(report),
        decodeEngineReport(report, AT),
        decodeDeviceInfo(report),
        decodeUsageReport(report),
      ];
      const shown = JSON.stringify(read.map((one) => (one && 'apps' in one ? [...one.apps] : one)));
      assert.ok(shown.length < 8000);
      assert.doesNotMatch(shown.replaceAll('\\u', ''), /\p{Cc}/u);
    }),
    { numRuns: 1500 },
  );
});
