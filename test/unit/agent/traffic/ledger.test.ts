import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { sumTable } from '../../../../src/agent/traffic/book.ts';
import { createTrafficLedger, type TrafficLedger } from '../../../../src/agent/traffic/ledger.ts';
import { createSystemClock } from '../../../../src/base/clock.ts';
import { createLogger } from '../../../../src/base/log.ts';
import type { Traffic } from '../../../../src/protocol/transport-types.ts';
import { createLayout, type Layout } from '../../../../src/store/layout.ts';

const log = createLogger({
  level: 'error',
  format: 'text',
  clock: createSystemClock(),
  write: () => undefined,
});
const NOVEMBER = Date.parse('2026-11-23T12:00:00Z');

interface World {
  layout: Layout;
  runFile: string;
  stateFile: string;
  /** A process that opens the ledger; `heard` is what the platform has told it of the time. */
  open(heard?: number, leastMs?: number): TrafficLedger;
}

function withWorld(use: (world: World) => void): void {
  const layout = createLayout(mkdtempSync(join(tmpdir(), 'gwe-ledger-')));
  try {
    use({
      layout,
      runFile: join(layout.runDirectory, 'traffic.json'),
      stateFile: join(layout.stateDirectory, 'traffic.json'),
      open: (heard, leastMs = 0) =>
        createTrafficLedger({
          layout,
          log,
          heardMs: () => heard,
          leastMs: () => leastMs,
          plainMs: () => undefined,
          iface: () => 'eth7',
        }),
    });
  } finally {
    rmSync(layout.root, { recursive: true });
  }
}

const request = (rxBytes: number): Traffic => ({
  purpose: 'read',
  rxBytes,
  txBytes: 1,
  path: '/x',
  status: 200,
  isWhole: true,
  isLast: true,
});
const received = (ledger: TrafficLedger): number => sumTable(ledger.book().totals).rxBytes;

test('a platform pushes the month on by no more than a day, whatever it says, and back at any time', () => {
  withWorld(({ open }) => {
    const monthOf = (heard: number | undefined, leastMs?: number): number => {
      const ledger = open(heard, leastMs);
      ledger.own();
      const month = ledger.monthMs() ?? 0;
      ledger.save();
      return month;
    };
    const isNear = (found: number, wanted: number): void =>
      assert.ok(Math.abs(found - wanted) < 60_000, new Date(found).toISOString());
    const DAY_MS = 24 * 3600 * 1000;
    const said = [NOVEMBER, NOVEMBER + 400 * DAY_MS, NOVEMBER + 40 * DAY_MS].map((heard) => monthOf(heard));
    isNear(said[0] ?? 0, NOVEMBER);
    for (const later of said.slice(1)) isNear(later, NOVEMBER + DAY_MS);
    const EARLIER = NOVEMBER - 10 * DAY_MS;
    isNear(monthOf(EARLIER), EARLIER);
    isNear(monthOf(NOVEMBER + 800 * DAY_MS), EARLIER + DAY_MS);
    // What must have passed by now has passed, whatever anybody says.
    isNear(monthOf(undefined, NOVEMBER + 30 * DAY_MS), NOVEMBER + 30 * DAY_MS);
  });
});

test('without any word the month turns by what must have passed', () => {
  withWorld(({ open }) => {
    assert.equal(open().monthMs(), undefined);
    assert.equal(open(undefined, NOVEMBER).monthMs(), NOVEMBER);
  });
});

test("without the time bytes have no day; the platform's word, once heard, holds for later processes of this boot", () => {
  withWorld(({ open, runFile }) => {
    const first = open();
    first.own();
    first.add(request(10));
    first.save();
    assert.equal(first.trustedMs(), undefined);
    assert.deepEqual(Object.keys(open().book().days), []);
    const second = open(NOVEMBER);
    second.own();
    second.add(request(5));
    second.save();
    assert.deepEqual(sumTable(second.book().days['2026-11-23']), { rxBytes: 15, txBytes: 2, num: 2 });
    const third = open();
    third.own();
    assert.ok(Math.abs((third.trustedMs() ?? 0) - NOVEMBER) < 60_000);
    // Another boot: that word is of no use any more.
    writeFileSync(runFile, readFileSync(runFile, 'utf8').replace(/"bootId":"[^"]*"/, '"bootId":"other"'));
    const fourth = open();
    fourth.own();
    assert.equal(fourth.trustedMs(), undefined);
    assert.equal(received(fourth), 15);
  });
});

test('the later of the two copies counts, and a damaged one is as good as none', () => {
  withWorld(({ open, runFile, stateFile }) => {
    const agent = open(NOVEMBER);
    agent.own();
    agent.add(request(10));
    agent.flush();
    agent.add(request(20));
    agent.save();
    assert.equal(received(open()), 30);
    for (const damage of [
      '',
      '{',
      '{"book":{"version":1}}',
      `{"book":${'9'.repeat(400)}}`,
      '\u0000'.repeat(100),
    ]) {
      writeFileSync(runFile, damage);
      assert.equal(received(open()), 10, JSON.stringify(damage.slice(0, 20)));
    }
    writeFileSync(stateFile, 'x'.repeat(2 * 1024 * 1024));
    assert.equal(received(open()), 10, 'by the copy of what was flushed');
    writeFileSync(`${stateFile}.copy`, 'x');
    const reopened = open(NOVEMBER);
    reopened.own();
    reopened.add(request(1));
    assert.equal(received(reopened), 1);
  });
});

test('another process leaves a slip, which counts once; invalid slips are discarded', () => {
  withWorld(({ open, layout }) => {
    const visitor = open(NOVEMBER);
    visitor.add(request(7));
    visitor.save();
    assert.equal(existsSync(layout.runDirectory), false, 'nobody has ever run here');
    const agent = open(NOVEMBER);
    agent.own();
    visitor.save();
    const slips = join(layout.runDirectory, 'traffic.d');
    assert.equal(readdirSync(slips).length, 1);
    assert.equal(received(open()), 7, 'who looks on reads them too');
    writeFileSync(join(slips, 'bad.json'), '[{"iface":"x","purpose":"fun","rxBytes":-1}]');
    agent.save();
    agent.save();
    assert.equal(received(agent), 7);
    assert.deepEqual(readdirSync(slips), []);
  });
});

test('the flash is written before an update and once an hour, not at each save', () => {
  withWorld(({ open, stateFile, runFile }) => {
    const agent = open(NOVEMBER);
    agent.own();
    for (let n = 0; n < 5; n++) {
      agent.add(request(1));
      agent.save();
    }
    assert.equal(existsSync(stateFile), false);
    const hourAgo = readFileSync(runFile, 'utf8').replace(
      /"flushedUptimeMs":([\d.]+)/,
      (_, ms: string) => `"flushedUptimeMs":${Number(ms) - 3_600_000}`,
    );
    writeFileSync(runFile, hourAgo);
    const later = open(NOVEMBER);
    later.own();
    assert.equal(JSON.parse(readFileSync(stateFile, 'utf8')).sequence, 5);
    rmSync(stateFile);
    later.save();
    later.flush();
    assert.equal(existsSync(stateFile), false, 'nothing new');
    later.add(request(1));
    later.flush();
    assert.equal(existsSync(stateFile), true);
  });
});

test('a disk that cannot be written ends nothing', () => {
  withWorld(({ open, layout }) => {
    mkdirSync(dirname(layout.runDirectory), { recursive: true });
    writeFileSync(layout.runDirectory, 'a file in the place of the directory');
    const agent = open(NOVEMBER);
    agent.own();
    agent.add(request(3));
    agent.save();
    agent.flush();
    assert.equal(received(agent), 3);
  });
});
