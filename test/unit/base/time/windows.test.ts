import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ALWAYS_OPEN,
  isOpen,
  nextOpening,
  parseWindows,
  renderWindows,
  type Windows,
  windowsProblem,
} from '../../../../src/base/time/windows.ts';

const at = (text: string): number => Date.parse(text) / 1000;
const nights: Windows = { zone: 'Europe/Berlin', ranges: [{ days: [5], from: '22:00', to: '04:00' }] };

test('a range that ends on the next day is open over midnight, in the time of its zone', () => {
  const cases: readonly [string, boolean][] = [
    ['2026-06-05T19:59:00Z', false],
    ['2026-06-05T20:00:00Z', true],
    ['2026-06-06T01:59:00Z', true],
    ['2026-06-06T02:00:00Z', false],
    ['2026-12-04T20:59:00Z', false],
    ['2026-12-04T21:00:00Z', true],
    ['2026-06-04T21:00:00Z', false],
  ];
  for (const [text, expected] of cases) assert.equal(isOpen(nights, at(text)), expected, text);
});

test('a range of Sunday night is open on Monday morning', () => {
  const windows: Windows = { zone: 'UTC', ranges: [{ days: [7], from: '23:00', to: '02:00' }] };
  assert.equal(isOpen(windows, at('2026-06-08T01:30:00Z')), true);
  assert.equal(isOpen(windows, at('2026-06-08T02:00:00Z')), false);
});

test('on the nights on which clocks change the range follows the clock on the wall', () => {
  const windows: Windows = { zone: 'Europe/Berlin', ranges: [{ days: [7], from: '01:00', to: '04:00' }] };
  const openMinutes = (from: string): number =>
    Array.from({ length: 24 * 60 }, (_, minute) => isOpen(windows, at(from) + minute * 60)).filter(Boolean)
      .length;
  assert.equal(openMinutes('2026-03-28T23:00:00Z'), 120);
  assert.equal(openMinutes('2026-10-24T22:00:00Z'), 240);
  assert.equal(openMinutes('2026-06-06T22:00:00Z'), 180);
});

test('the next opening is known; without ranges it is always open', () => {
  assert.equal(nextOpening(nights, at('2026-06-05T12:02:00Z')), at('2026-06-05T20:00:00Z'));
  assert.equal(nextOpening(nights, at('2026-06-05T21:00:00Z')), at('2026-06-05T21:00:00Z'));
  assert.equal(isOpen(ALWAYS_OPEN, 0), true);
});

test('what is no zone and no time is said', () => {
  assert.equal(windowsProblem(nights), undefined);
  assert.match(windowsProblem({ zone: 'Mars/Olympus', ranges: [] }) ?? '', /time zone 'Mars\/Olympus'/);
  for (const range of [
    { days: [1], from: '25:00', to: '04:00' },
    { days: [8], from: '22:00', to: '04:00' },
    { days: [], from: '22:00', to: '04:00' },
    { days: [1], from: '22', to: '04:00' },
  ])
    assert.match(windowsProblem({ zone: 'UTC', ranges: [range] }) ?? '', /cannot use window/);
});

test('windows are read as people write them, and written the same', () => {
  const cases: readonly [text: string, written: string][] = [
    ['01:00-05:00', '01:00-05:00 UTC'],
    ['Mon-Wed 22:00-04:00 Europe/Berlin', 'Mon,Tue,Wed 22:00-04:00 Europe/Berlin'],
    ['fri-mon 00:00-24:00 local', 'Mon,Fri,Sat,Sun 00:00-24:00 local'],
    ['Sat, Sun 01:00-02:00; Mon 03:00-04:00 UTC', 'Sat,Sun 01:00-02:00, Mon 03:00-04:00 UTC'],
    ['Mon 01:00-02:00 05:00-06:00', 'Mon 01:00-02:00, Mon 05:00-06:00 UTC'],
  ];
  for (const [text, written] of cases) {
    const parsed = parseWindows(text);
    assert.ok('windows' in parsed, text);
    assert.equal(renderWindows(parsed.windows), written);
    assert.deepEqual(parseWindows(written), parsed);
  }
});

test('what is no window is never taken for one that is always open', () => {
  const bad = [
    '',
    'Mon',
    'Europe/Berlin',
    '25:00-26:00',
    '1:00-2:00',
    'Mon 01:00-02:00 Mars/Olympus',
    'x 01:00-02:00',
  ];
  for (const text of [...bad, 'Mon 01:00-02:00 Tue', '01:00', `${'Mon '.repeat(200)}01:00-02:00`])
    assert.ok('problem' in parseWindows(text), text);
});
