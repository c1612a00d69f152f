/** Walks through a fleet that several people ask for: a large one is not walked anew, of a small one everybody sees now. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRecent, type Recent } from '../../../src/fleet-api/recent.ts';

interface Rig {
  clock: { nowMs: number };
  recent: Recent;
  walks: number;
  ask(gateways: number): Promise<unknown>;
}

function openRig(): Rig {
  const clock = { nowMs: 1_000_000 };
  const recent = createRecent({ wallMs: () => clock.nowMs });
  const rig: Rig = {
    clock,
    recent,
    walks: 0,
    async ask(gateways) {
      const walk = async () => {
        rig.walks += 1;
        const number = rig.walks;
        await Promise.resolve();
        return { body: number, gateways };
      };
      return recent.of('status p', walk);
    },
  };
  return rig;
}

test('a large fleet is walked once in a while, however many ask', async () => {
  const { ask, clock } = openRig();
  assert.equal(await ask(100_000), 1);
  clock.nowMs += 9_999;
  assert.deepEqual(await Promise.all([ask(100_000), ask(100_000)]), [1, 1]);
  clock.nowMs += 1;
  assert.deepEqual(
    await Promise.all([ask(100_000), ask(100_000)]),
    [2, 2],
    'who comes meanwhile waits for the same',
  );
});

test('of a small fleet everybody sees his own moment, and after a failure it is tried again', async () => {
  const { ask, recent } = openRig();
  assert.deepEqual(await Promise.all([ask(10), ask(10)]), [1, 2]);
  assert.equal(await ask(10), 3);
  const fails = () => Promise.reject(new Error('the database is away'));
  await assert.rejects(recent.of('status p', fails), /away/);
  assert.equal(await ask(10), 4);
});
