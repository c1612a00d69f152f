/** `make console-shots`: pictures of the pages of the web console, of a small fleet with something to look at, into dist/. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createSystemClock } from '../src/base/clock.ts';
import { keepDay } from '../src/fleet-api/history/days.ts';
import type { Storage } from '../src/platform/storage/storage.ts';
import type { TestGateway } from './helpers/console-rig.ts';
import { type ConsoleRig, openConsoleRig, runningHello } from './helpers/console-rig.ts';
import { makeTarball } from './helpers/tarball.ts';

const TO = join(import.meta.dirname, '../dist/console-shots');

const DAY_S = 86_400;
const [REPORTS, EVERY_S] = [36, 7200];
const system = createSystemClock();
let [behindS, stored]: [number, Storage | undefined] = [0, undefined];
const clock = { ...system, wallMs: () => system.wallMs() - behindS * 1000 };

/** The last three days of a gateway: its disk fills up, its clock is set right once, its data budget is used. */
async function report(gateway: TestGateway): Promise<void> {
  for (let left = REPORTS; left > 0; left--) {
    behindS = left * EVERY_S;
    const swing = Math.round(Math.sin(left) * 2e6);
    const free = 40e6 + left * 2.5e6 + swing;
    const day = new Date(clock.wallMs()).toISOString().slice(0, 10);
    await gateway.writes({
      device_info: {
        ...{ gwe: '2.1.0', target: 'linux-arm64', interval: 3600, memory: { available: 21e6 + swing } },
        clock: left > 24 ? { state: 'wrong', ahead: -1800 } : { state: 'right' },
        mounts: [{ path: '/', available: free }],
      },
      usage_report: {
        gwe_ledger: { day, budget_left: 4e6 + left * 90_000, month_rx: 9e6 - left * 1e5, month_tx: 3e6 },
      },
    });
  }
  behindS = 0;
}

async function fill({ platform, gateway, call }: ConsoleRig): Promise<void> {
  const old: TestGateway[] = [];
  for (let at = 1; at <= 9; at++) old.push(await gateway(`gw-${at}`, runningHello('1')));
  const failing = await gateway('gw-10', runningHello('1', 'FATAL'));
  await report(failing);
  const nowS = Math.floor(system.wallMs() / 1000);
  for (const [at, each] of old.entries()) {
    if (stored !== undefined && at < 4) await keepDay(stored, 'p', nowS - (4 - at) * DAY_S);
    if (at >= 4) continue;
    const saved = { name: 'hello', version: '1.1', outcome: 'installed', tx: `t-${at}` };
    await each.writes({ ...runningHello('1.1'), fetch_status: { ...saved, bytes: 2e5, bytes_full: 3e6 } });
  }
  await platform.addDevice('p', 'gw-11');
  await platform.putContent('p', 'hello.v2.tar.gz', makeTarball({ 'install.sh': '#!/bin/sh\n' }));
  const spec = { artifacts: ['hello.v2.tar.gz'], serials: ['gw-10', 'gw-2', 'gw-3'], waves: [{ share: 1 }] };
  await call('POST', '/operators', { name: 'vera', grants: [{ role: 'operator', product: 'p' }] });
  await call('PUT', '/products/NEW');
  const { id } = await call('POST', '/products/p/rollouts', spec);
  const shown: { id: string } = JSON.parse(await failing.reads());
  await failing.writes({ engine_fetch: '' });
  const reason = 'install.sh: cannot open /dev/ttyS9';
  const end = {
    name: 'hello',
    version: '2',
    outcome: 'rolled-back',
    code: 'INSTALL_FAILED',
    tx: 't-1',
    reason,
  };
  await failing.writes({ fetch_status: { ...end, command: shown.id } });
  await call('POST', `/products/p/rollouts/${id}/pause`, {
    reason: 'the serial port is another one on gw-10',
  });
}

const closings: (() => Promise<void>)[] = [];
const background = async ({ storage }: { storage: Storage }): Promise<void> => {
  stored = storage;
};
const rig = await openConsoleRig(
  { after: (close) => closings.push(close) },
  { height: 720 },
  { clock, background },
);
try {
  mkdirSync(TO, { recursive: true });
  await fill(rig);
  await rig.open();
  const { id } = (await rig.call('GET', '/products/p/rollouts')).rollouts[0];
  for (const [name, place, there] of [
    ['fleet', 'fleet', 'FATAL'],
    ['gateways', 'gateways', 'gw-9'],
    ['gateway', 'gateways/gw-10', 'Free memory'],
    ['rollout', `rollouts/${id}`, 'cannot open'],
    ['content', 'content', 'hello.v2'],
    ['reports', 'reports', 'Why they failed'],
    ['people', 'settings/people', 'operator in p'],
    ['first-app', '../NEW/fleet', 'Set up a gateway'],
  ] as const) {
    await rig.page.goto(`${rig.platform.url}/#/${place.startsWith('../') ? place.slice(3) : `p/${place}`}`);
    await rig.page.getByText(there).first().waitFor();
    await rig.page.screenshot({ path: join(TO, `${name}.png`) });
    console.log(`dist/console-shots/${name}.png`);
  }
} finally {
  for (const close of closings.reverse()) await close();
}
