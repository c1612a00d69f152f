/** What the platform knows after the values of a gateway, in whatever order, repeated, lost or made up. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  expectedBy,
  type Knowledge,
  learn,
  NOTHING_KNOWN,
  type Written,
} from '../../../../src/fleet/gateway/learn.ts';
import { isShared } from '../../../../src/fleet/gateway/sharing.ts';

const AT = 1_800_000_000;

function write(alias: string, value: unknown, more: Partial<Written> = {}): Written {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return { alias, value: text, before: '', at: AT, sequence: 1, ...more };
}

/** All of them one after the other: what is known, and the events by their keys. */
function learnAll(all: readonly Written[]): { knowledge: Knowledge; keys: string[] } {
  let knowledge = NOTHING_KNOWN;
  const keys = new Set<string>();
  for (const one of all) {
    const learnt = learn(knowledge, one);
    knowledge = learnt.knowledge;
    for (const event of learnt.events) keys.add(event.key);
  }
  return { knowledge, keys: [...keys] };
}

const status = (tx: string, outcome: string, more = {}): Record<string, unknown> => ({
  name: 'hello',
  version: '2.1',
  status: 'failure',
  outcome,
  tx,
  ...more,
});

test('the end of an update is one event, however often it is reported', () => {
  const told = write('fetch_status', status('t-00', 'rolled-back'));
  assert.deepEqual(learnAll([told, { ...told, sequence: 2 }, { ...told, at: AT + 9 }]).keys, [
    'update:t-00:rolled-back',
  ]);
  const [event] = learn(NOTHING_KNOWN, told).events;
  assert.deepEqual(
    [event?.kind, event?.app, event?.version, event?.text],
    ['update', 'hello', '2.1', 'rolled-back'],
  );
});

test('what patches and chunks saved is counted once for each update, and by the month', () => {
  const end = (tx: string, more: object, at = AT) =>
    write('fetch_status', status(tx, 'installed', more), { at });
  const first = end('t-01', { bytes: 300, bytes_full: 1000 });
  const second = end('t-02', { bytes: 50, bytes_full: 100 });
  const without = [
    end('t-03', { bytes: 0, bytes_full: 1000 }),
    end('t-04', { bytes: 1200, bytes_full: 1000 }),
    end('t-05', { bytes: 7 }),
    write('fetch_status', status('t-06', 'in progress', { bytes: 1, bytes_full: 1000 })),
  ];
  const { saved } = learnAll([first, second, ...without, first, second]).knowledge;
  assert.deepEqual([saved?.month, saved?.monthBytes], ['2027-01', 750]);
  const later = end('t-07', { bytes: 1, bytes_full: 11 }, AT + 31 * 86_400);
  const next = learnAll([first, later, later]).knowledge.saved;
  assert.deepEqual([next?.month, next?.monthBytes], ['2027-02', 10]);
  const many = Array.from({ length: 99 }, (_, at) => end(`t-${at}`, { bytes: 1, bytes_full: 2 }));
  const { saved: all } = learnAll(many).knowledge;
  assert.equal(all?.monthBytes, 99);
  assert.ok((all?.counted.length ?? 99) < 20);
});

test('an update under way is no event', () => {
  const learnt = learn(NOTHING_KNOWN, write('fetch_status', status('t-00', 'in progress', { percent: 5 })));
  assert.deepEqual([learnt.events, learnt.status?.percent], [[], 5]);
});

test('a command is taken when the gateway empties what it was shown', () => {
  const taken = learn(NOTHING_KNOWN, write('engine_fetch', '', { before: '{"install":[]}', sequence: 8 }));
  assert.deepEqual([taken.taken, taken.events.map(({ kind }) => kind)], ['{"install":[]}', ['taken']]);
  assert.equal(learn(NOTHING_KNOWN, write('engine_fetch', '')).taken, undefined);
});

test('the interval is the one that was last taken over or reported', () => {
  const took = write('update_interval', '', { before: '300' });
  assert.equal(learnAll([took]).knowledge.intervalS, 300);
  assert.equal(learnAll([took, write('device_info', { interval: 60 })]).knowledge.intervalS, 60);
  assert.equal(learnAll([took, write('device_info', {})]).knowledge.intervalS, 300);
  assert.equal(learnAll([write('update_interval', '', { before: 'soon' })]).knowledge.intervalS, undefined);
});

test('a gateway is silent after two of its intervals, and never when it was never seen', () => {
  assert.equal(expectedBy(AT, 300), AT + 720);
  assert.equal(expectedBy(AT, undefined), AT + 28_920);
  assert.equal(expectedBy(0, 300), 0);
});

test('a program that is restarted again and again is an event at each doubling', () => {
  const report = (restarts: number, version = '2.1'): Written =>
    write('engine_report', { apps: [{ hello: { version, status: 'RUNNING', restarts } }] });
  assert.deepEqual(learnAll([0, 1, 3, 4, 5, 7, 8, 8, 40].map((count) => report(count))).keys, [
    'looping:hello:2.1:2',
    'looping:hello:2.1:3',
    'looping:hello:2.1:5',
  ]);
  assert.deepEqual(learnAll([report(9), report(9, '2.2')]).keys.length, 2);
});

test('what cannot be read is noted once an hour and leaves what is known', () => {
  const good = write('engine_report', { apps: [{ hello: { version: '2.1' } }] });
  const bad = ['engine_report', 'device_info', 'usage_report'].map((alias) => write(alias, 'nonsense'));
  const { knowledge, keys } = learnAll([good, ...bad, ...bad]);
  assert.equal(knowledge.apps.get('hello')?.version, '2.1');
  assert.equal(knowledge.unreadable?.alias, 'usage_report');
  assert.equal(keys.length, 3);
});

test('two machines with one key are recognized by a boot that comes back', () => {
  const boot = (id: string, address = '10.0.0.1'): Written => write('device_info', { boot: id }, { address });
  const [a, b, c] = ['aaaaaaaa-1', 'bbbbbbbb-2', 'cccccccc-3'].map((id) => id.replace(/[^0-9a-f-]/g, '0'));
  const one = learnAll([boot(`${a}`), boot(`${a}`), boot(`${b}`), boot(`${c}`)]);
  assert.equal(isShared(one.knowledge.traces, AT), false);
  const two = learnAll([boot(`${a}`), boot(`${b}`, '10.0.0.2'), boot(`${a}`)]);
  assert.equal(isShared(two.knowledge.traces, AT), true);
  assert.match(two.knowledge.traces.sign?.why ?? '', /came back.*10\.0\.0\.2 and 10\.0\.0\.1/);
  assert.ok(two.keys.some((key) => key.startsWith('shared:')));
  assert.equal(isShared(two.knowledge.traces, AT + 8 * 86_400), false);
});

test('old agents, which name no boot, are recognized by their uptime', () => {
  const up = (at: number, uptime: number): Written => write('device_info', { uptime }, { at });
  const one = learnAll([up(AT, 50_000), up(AT + 3600, 53_600), up(AT + 7200, 60), up(AT + 10_800, 3660)]);
  assert.equal(isShared(one.knowledge.traces, AT + 10_800), false);
  const two = learnAll([up(AT, 50_000), up(AT + 60, 100), up(AT + 3600, 53_600)]);
  assert.equal(isShared(two.knowledge.traces, AT + 3600), true);
});

test('two machines are recognized by a count of failures that goes back and forth, and a lost count is not', () => {
  const failed = (seq: number): Written => write('fetch_status', status(`t${seq}-00`, 'rejected', { seq }));
  assert.equal(isShared(learnAll([40, 41, 1, 2, 3, 42, 43].map(failed)).knowledge.traces, AT), false);
  assert.equal(isShared(learnAll([40, 3, 41, 4, 42].map(failed)).knowledge.traces, AT), true);
});

const anyWrite = fc
  .record({
    alias: fc.constantFrom(
      'engine_fetch',
      'update_interval',
      'fetch_status',
      'engine_report',
      'device_info',
      'usage_report',
      'x',
      'constructor',
    ),
    value: fc.oneof(fc.json(), fc.string({ unit: 'binary' }), fc.constantFrom('', '300')),
    before: fc.oneof(fc.string(), fc.constantFrom('', '300', '{"install":[]}')),
    at: fc.integer({ min: 0, max: 2 ** 31 }),
    sequence: fc.nat(),
  })
  .map((one): Written => one);
const tx = fc.constantFrom('a-00', 'a-01', 'b-00');
const outcome = fc.constantFrom('installed', 'rolled-back', 'rejected', 'unchanged');
const end = fc.tuple(tx, outcome).map(([id, what]) => write('fetch_status', status(id, what)));

test('in any order, repeated and among nonsense, the events are those of the distinct ends', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(end, anyWrite), { maxLength: 30 }), (all) => {
      const { keys, knowledge } = learnAll([...all, ...all]);
      const ends = all.flatMap((one) => {
        const { status: found } = learn(NOTHING_KNOWN, one);
        return found?.tx === undefined || found.outcome === undefined
          ? []
          : [`update:${found.tx}:${found.outcome}`];
      });
      const told = keys.filter((key) => /^update:[ab]-/.test(key));
      assert.deepEqual(told.sort(), [...new Set(ends)].filter((key) => /^update:[ab]-/.test(key)).sort());
      assert.ok(knowledge.traces.boots.length <= 8 && knowledge.apps.size <= 256);
    }),
  );
});
