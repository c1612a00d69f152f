/** SIGKILL of the only platform, at any moment under load, again and again. GWE_FLEET=full: 35 rounds. */
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createFleetLoad, type FleetLoad } from './fleet-load.ts';
import type { PlatformProcess } from './platform-process.ts';

const [rounds, longestMs] = process.env.GWE_FLEET === 'full' ? [35, 2000] : [2, 400];

/** `settled` resolves when nothing that the killed platform asked for is still being done. */
export async function killedOften(
  t: TestContext,
  platform: PlatformProcess,
  settled: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  t.after(() => platform.end());
  // Few writers, each often alone in its commit, and many together; both know what they know from round to round.
  const loads: Record<number, FleetLoad> = {};
  for (let round = 0; round < rounds; round++) {
    const gateways = round % 2 === 0 ? 8 : 40;
    loads[gateways] ??= await createFleetLoad({ urls: [platform.url], name: `of-${gateways}`, gateways });
    const load = loads[gateways];
    load.start();
    await load.progress();
    await delay(Math.random() * longestMs);
    await platform.kill();
    const stopped = load.stop();
    await settled();
    await platform.start();
    await stopped;
    await load.verify();
  }
  const counts = Object.values(loads).map((load) => JSON.stringify(load.counts));
  t.diagnostic(`${rounds} rounds: ${counts.join(', ')}; nothing lost`);
}
