/** With a `date` of the test's own: the clock of the machine that runs the tests is never touched. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { maySetClock, setClock } from '../../../../src/agent/clock/set-clock.ts';
import { createSystemClock } from '../../../../src/base/clock.ts';

/** A directory with nothing but a `date` that writes its arguments down and ends as told. */
function fakeDate(t: TestContext, lines: string): { path: string; args(): string } {
  const path = mkdtempSync(join(tmpdir(), 'gwe-date-'));
  t.after(() => rmSync(path, { recursive: true }));
  writeFileSync(join(path, 'date'), `#!/bin/sh\necho "$@" > '${path}/args'\n${lines}\n`, { mode: 0o755 });
  return { path, args: () => readFileSync(join(path, 'args'), 'utf8') };
}

const OPTIONS = { clock: createSystemClock(), signal: new AbortController().signal };

test('the clock is set by date, in UTC and Unix seconds', async (t) => {
  const date = fakeDate(t, 'exit 0');
  await setClock(1_795_000_000, { ...OPTIONS, path: date.path });
  assert.equal(date.args(), '-u -s @1795000000\n');
});

test('a date that fails is an error with its words', async (t) => {
  const date = fakeDate(t, 'echo "date: cannot set date: Operation not permitted"; exit 1');
  await assert.rejects(setClock(1, { ...OPTIONS, path: date.path }), /cannot set the clock: .*not permitted/);
});

test('only root may, on the real root, and where the operator does not forbid it', () => {
  const may = { root: '/', uid: 0, wish: 'auto' } as const;
  assert.equal(maySetClock(may), true);
  for (const other of [{ root: '/tmp/root' }, { uid: 1000 }, { uid: undefined }, { wish: 'off' } as const])
    assert.equal(maySetClock({ ...may, ...other }), false, JSON.stringify(other));
});
