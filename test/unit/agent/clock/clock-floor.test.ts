import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type ClockFloor, createClockFloor } from '../../../../src/agent/clock/clock-floor.ts';
import { createLogger } from '../../../../src/base/log.ts';

const YEAR_MS = 365 * 24 * 3600 * 1000;
const DAY_MS = 24 * 3600 * 1000;
const BUILD_MS = Date.UTC(2026, 0, 1);

interface Machine {
  floor: ClockFloor;
  wallMs: number;
  monotonicMs: number;
  /** What the clock was set to, Unix seconds. */
  sets: number[];
  log: string[];
  path: string;
  /** The same root after a restart of gwe. */
  restart(): ClockFloor;
}

function machine(
  t: TestContext,
  wallMs: number,
  how: { maySet?: boolean; buildMs?: number; fails?: boolean } = {},
): Machine {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-clock-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const { maySet = true, buildMs = BUILD_MS, fails = false } = how;
  const clock = { wallMs: () => it.wallMs, monotonicMs: () => it.monotonicMs };
  const restart = (): ClockFloor =>
    createClockFloor({
      clock,
      uptimeMs: () => it.monotonicMs,
      log: createLogger({ level: 'info', format: 'text', clock, write: (line) => void it.log.push(line) }),
      path: it.path,
      buildTimeS: buildMs / 1000,
      maySet: () => maySet,
      async set(unixS) {
        if (fails) throw new Error('not permitted');
        it.sets.push(unixS);
        it.wallMs = unixS * 1000;
      },
    });
  const it: Omit<Machine, 'floor'> = {
    wallMs,
    monotonicMs: 5000,
    sets: [],
    log: [],
    path: join(directory, 'state', 'clock.json'),
    restart,
  };
  return Object.assign(it, { floor: restart() });
}

/** Of a certificate that was valid at every time in question. */
const VALID = { fromMs: BUILD_MS - YEAR_MS, untilMs: BUILD_MS + 3 * YEAR_MS };

function saved(it: Machine): unknown {
  return JSON.parse(readFileSync(it.path, 'utf8')).savedAtMs;
}

test('a clock of 1970 is stepped forward to the build time', async (t) => {
  const it = machine(t, 1000);
  assert.equal(it.floor.isBelow(), true);
  await it.floor.hold();
  assert.deepEqual(it.sets, [BUILD_MS / 1000]);
  assert.equal(it.floor.isBelow(), false);
  assert.match(it.log.join(''), /clock\.stepped/);
});

test('a clock that is not below the floor is never set, a year ahead neither', async (t) => {
  for (const aheadMs of [-60_000, 0, YEAR_MS]) {
    const it = machine(t, BUILD_MS + aheadMs);
    await it.floor.hold();
    it.floor.heard(BUILD_MS + 1000);
    await it.floor.settle();
    assert.deepEqual(it.sets, [], `${aheadMs} ms ahead`);
  }
});

test('where gwe may not set the clock it says so once and goes on', async (t) => {
  const it = machine(t, 1000, { maySet: false });
  await it.floor.hold();
  await it.floor.hold();
  assert.deepEqual(it.sets, []);
  assert.equal(it.log.filter((line) => line.includes('clock.behind')).length, 1);
});

test('a clock that cannot be set is a warning, and nothing was stepped', async (t) => {
  const it = machine(t, 1000, { fails: true });
  await it.floor.hold();
  it.floor.heard(BUILD_MS + YEAR_MS);
  await it.floor.settle();
  assert.match(it.log.join(''), /clock\.behind.*not permitted/);
  assert.equal(it.wallMs, 1000);
});

test('a stepped clock is corrected from the platform, to the second, also while time goes by', async (t) => {
  const it = machine(t, 1000);
  await it.floor.hold();
  it.floor.heard(BUILD_MS + YEAR_MS, VALID);
  it.monotonicMs += 10_000;
  await it.floor.settle();
  assert.deepEqual(it.sets, [BUILD_MS / 1000, (BUILD_MS + YEAR_MS + 10_000) / 1000]);
  it.floor.heard(BUILD_MS + 2 * YEAR_MS, VALID);
  await it.floor.settle();
  assert.equal(it.sets.length, 2, 'once: from then on the clock is the machine’s own');
});

test('a correction never goes below the floor', async (t) => {
  const it = machine(t, 1000);
  await it.floor.hold();
  it.floor.heard(BUILD_MS - YEAR_MS);
  await it.floor.settle();
  assert.ok(it.sets.every((unixS) => unixS * 1000 >= BUILD_MS));
});

test('the time of a good check-in is saved at most once a day, and outlives a restart', async (t) => {
  const it = machine(t, BUILD_MS + 2 * DAY_MS);
  it.floor.heard(it.wallMs);
  await it.floor.settle();
  assert.equal(saved(it), BUILD_MS + 2 * DAY_MS);
  it.wallMs += DAY_MS / 2;
  it.monotonicMs += DAY_MS / 2;
  await it.floor.settle();
  assert.equal(saved(it), BUILD_MS + 2 * DAY_MS);
  it.floor.save();
  assert.equal(saved(it), BUILD_MS + 2.5 * DAY_MS, 'an update that was kept saves it at once');
  it.wallMs = 0;
  const next = it.restart();
  assert.equal(next.floorMs(), BUILD_MS + 2.5 * DAY_MS);
  await next.hold();
  assert.equal(it.wallMs, BUILD_MS + 2.5 * DAY_MS);
});

test('without the platform’s word nothing is saved', async (t) => {
  const it = machine(t, BUILD_MS + 10 * DAY_MS);
  await it.floor.settle();
  it.floor.save();
  assert.equal(it.floor.floorMs(), BUILD_MS);
});

test('a clock that has jumped a year ahead leaves no floor behind that holds it there', async (t) => {
  const it = machine(t, BUILD_MS + 2 * DAY_MS + YEAR_MS);
  it.floor.heard(BUILD_MS + 2 * DAY_MS);
  await it.floor.settle();
  it.wallMs = BUILD_MS + 2 * DAY_MS;
  await it.floor.hold();
  assert.deepEqual(it.sets, []);
  assert.equal(it.floor.floorMs(), BUILD_MS + 2 * DAY_MS);
});

test('a platform that is a year ahead leaves no floor behind either', async (t) => {
  const it = machine(t, BUILD_MS + 2 * DAY_MS);
  it.floor.heard(BUILD_MS + YEAR_MS);
  await it.floor.settle();
  assert.equal(it.floor.floorMs(), BUILD_MS + 2 * DAY_MS);
});

test('a corrected time is saved only after another exchange under it', async (t) => {
  const it = machine(t, 1000);
  await it.floor.hold();
  it.floor.heard(BUILD_MS + YEAR_MS, VALID);
  await it.floor.settle();
  it.floor.save();
  assert.equal(it.floor.floorMs(), BUILD_MS);
  it.floor.heard(BUILD_MS + YEAR_MS, VALID);
  await it.floor.settle();
  assert.equal(it.floor.floorMs(), BUILD_MS + YEAR_MS);
});

test('a damaged file of the saved time counts as its copy says, and as none where that is damaged too', async (t) => {
  const it = machine(t, BUILD_MS + 2 * DAY_MS);
  it.floor.heard(it.wallMs);
  await it.floor.settle();
  for (const text of ['', '{', '{"version":1,"savedAtMs":1e300}', '{"version":1,"savedAtMs":"x"}', '[]']) {
    writeFileSync(it.path, text);
    assert.equal(it.floor.floorMs(), it.wallMs, text);
  }
  writeFileSync(`${it.path}.copy`, '{');
  assert.equal(it.floor.floorMs(), BUILD_MS);
});

const LIES: readonly { what: string; heardMs: number; validity?: { fromMs: number; untilMs: number } }[] = [
  { what: 'without a certificate that tells', heardMs: BUILD_MS + YEAR_MS },
  { what: 'behind the end of the certificate', heardMs: BUILD_MS + 4 * YEAR_MS, validity: VALID },
  {
    what: 'before the begin of the certificate',
    heardMs: BUILD_MS + YEAR_MS,
    validity: { fromMs: BUILD_MS + 2 * YEAR_MS, untilMs: BUILD_MS + 3 * YEAR_MS },
  },
];

for (const { what, heardMs, validity } of LIES) {
  test(`a time of the platform ${what} moves clock and floor by the uptime and a day at most`, async (t) => {
    const it = machine(t, 1000);
    await it.floor.hold();
    it.floor.heard(heardMs, validity);
    await it.floor.settle();
    assert.equal(it.wallMs, BUILD_MS + it.monotonicMs + DAY_MS);
    it.floor.heard(heardMs, validity);
    it.floor.save();
    assert.equal(it.floor.floorMs(), BUILD_MS + it.monotonicMs + DAY_MS);
    assert.match(it.log.join(''), /its certificate is not valid/);
  });
}
