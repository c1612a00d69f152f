/** Gateways of a storage, and a rollout of them: what the suites of the fleet have in common. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Policy } from '../../src/fleet/rollout/rollout.ts';
import type { Storage } from '../../src/platform/storage/storage.ts';
import { AUDIT, type OpenFleet } from './fleet-suite-records.ts';
import { START_S, startedRollout } from './rollout-parts.ts';

export interface Rig {
  storage: Storage;
  keys: string[];
  passes(seconds: number): Promise<void>;
  reads(at: number): Promise<string>;
  writes(at: number, values: Record<string, unknown>): Promise<void>;
}

export async function rigOf(open: OpenFleet, t: TestContext, count: number): Promise<Rig> {
  const { storage, setClock } = await open(t);
  let now = START_S;
  await setClock(now);
  const keys: string[] = [];
  for (let at = 0; at < count; at++) {
    const call = { product: 'p', serial: `gw-${at}`, connection: '' };
    await storage.enableDevice({ ...call, unlessActivated: false });
    const active = await storage.activate({ ...call, vendor: 'p' });
    keys.push(active.kind === 'activated' ? active.cik : '');
  }
  const ask = async (at: number, writes: [string, string][], reads: string[]): Promise<string> => {
    const result = await storage.checkIn({ cik: keys[at] ?? '', writes, reads });
    assert.equal(result.kind, 'done');
    return result.kind === 'done' ? (result.values[0]?.value ?? '') : '';
  };
  return {
    storage,
    keys,
    async passes(seconds) {
      now += seconds;
      await setClock(now);
    },
    reads: (at) => ask(at, [], ['engine_fetch']),
    async writes(at, values) {
      const texts = Object.entries(values).map(([alias, value]): [string, string] => [
        alias,
        typeof value === 'string' ? value : JSON.stringify(value),
      ]);
      await ask(at, texts, []);
    },
  };
}

export const APPS = { apps: [{ hello: { version: '2.0', status: 'RUNNING' } }] };

export async function begin(rig: Rig, waves: string[][], policy: Partial<Policy> = {}): Promise<void> {
  const rollout = {
    ...startedRollout(
      waves.map(({ length }) => length),
      { soakS: 60, ...policy },
    ),
    id: 'r1',
  };
  await rig.storage.createRollout({ product: 'p', name: 'hello 2.1', rollout }, waves, AUDIT);
}

export const state = async ({ storage }: Rig): Promise<string[]> =>
  (await storage.listMembers('r1', { limit: 100 })).items.map((member) => member.state);
