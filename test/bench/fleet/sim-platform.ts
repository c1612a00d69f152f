/**
 * A platform whose time is told to it: `sim-platform.ts DIRECTORY START`. A line on stdin is the time, in unix seconds,
 * to go on to; `free ROLLOUT` lets a rollout go on whatever fails. Prints its URL, then a line when each is done.
 */
import { createInterface } from 'node:readline';
import { createSystemClock } from '../../../src/base/clock.ts';
import type { Rollout } from '../../../src/fleet/rollout/rollout.ts';
import type { Storage } from '../../../src/platform/storage/storage.ts';
import { startPlatform } from '../../helpers/platform.ts';
import { PRODUCT } from './parts.ts';

const [directory = '', start = '0'] = process.argv.slice(2);
let nowMs = Number(start) * 1000;
const clock = { ...createSystemClock(), wallMs: () => nowMs };

/** No rule stops it from here on, and no wave is held. */
function freed(rollout: Rollout): Rollout {
  const policy = { ...rollout.policy, limit: 1, need: 0 };
  const isHalted = rollout.state === 'paused' || rollout.state === 'held';
  const state = isHalted ? ('running' as const) : rollout.state;
  return { ...rollout, policy, acceptedBad: Number.MAX_SAFE_INTEGER, state, before: undefined };
}

async function obey(storage: Storage, line: string): Promise<void> {
  const [word = '', id = ''] = line.split(' ');
  if (word === 'free') {
    const audit = {
      at: nowMs / 1000,
      actor: 'bench',
      request: '',
      action: '',
      target: id,
      before: '',
      after: '',
    };
    await storage.changeRollout({ product: PRODUCT, id }, (rollout) => ({ rollout: freed(rollout) }), audit);
  } else {
    nowMs = Number(word) * 1000;
    // Ends of waves and soaks may follow one another.
    for (let ticks = 0; ticks < 3; ticks++) await storage.tickRollouts();
  }
}

const platform = await startPlatform({
  dir: directory,
  clock,
  async background({ storage }, closing) {
    for await (const line of createInterface({ input: process.stdin, signal: closing })) {
      await obey(storage, line);
      process.stdout.write('done\n');
    }
  },
});
process.stdout.write(`${platform.url} ${platform.token}\n`);
