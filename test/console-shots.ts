/** `make console-shots`: pictures of the pages of the web console, of a small fleet with something to look at, into dist/. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type ConsoleRig, openConsoleRig, runningHello } from './helpers/console-rig.ts';
import { makeTarball } from './helpers/tarball.ts';

const TO = join(import.meta.dirname, '../dist/console-shots');

async function fill({ platform, gateway, call }: ConsoleRig): Promise<void> {
  for (let at = 1; at <= 9; at++) await gateway(`gw-${at}`, runningHello(at < 5 ? '1' : '1.1'));
  const failing = await gateway('gw-10', runningHello('1', 'FATAL'));
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
const rig = await openConsoleRig({ after: (close) => closings.push(close) }, { height: 720 });
try {
  mkdirSync(TO, { recursive: true });
  await fill(rig);
  await rig.open();
  const { id } = (await rig.call('GET', '/products/p/rollouts')).rollouts[0];
  for (const [name, place, there] of [
    ['fleet', 'fleet', 'FATAL'],
    ['gateways', 'gateways', 'gw-9'],
    ['gateway', 'gateways/gw-10', 'rolled-back'],
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
