/** `--wait`: a command that comes back when what it asked for has come about, and says how. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type CommandResult, createGateway, FROM_SOURCE, type Gateway } from '../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { runGwe } from '../../helpers/run-gwe.ts';
import { INSTALL_OK, makeTarball } from '../../helpers/tarball.ts';
import { until } from '../../helpers/until.ts';

describe('--wait', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  let env: Record<string, string>;
  // The platform lives in this process and has to answer meanwhile.
  const gwe = (...args: string[]): Promise<CommandResult> => runGwe([...FROM_SOURCE, ...args], env);
  const command = (...names: string[]): string =>
    JSON.stringify({ install: names.map((name) => ({ name: `${name}.tar.gz` })) });

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform, { settings: { idle_handover: 'off' } });
    const token = join(gateway.root, 'token');
    writeFileSync(token, platform.token);
    env = { GWE_ROOT: gateway.root, GWE_PLATFORM_URL: platform.url, GWE_PLATFORM_TOKEN_FILE: token };
    await platform.putContent('p1', 'good.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
    const bad = { content: '#!/bin/sh\necho no sensor; exit 1\n', mode: 0o755 };
    await platform.putContent('p1', 'bad.v1.tar.gz', makeTarball({ 'install.sh': bad }));
    gateway.start();
    await until(() => gateway.log().includes('checkin.done'));
  });
  after(async () => {
    await gateway?.remove();
    await platform?.close();
  });

  test('platform write comes back with the reports of all that the command names', async () => {
    const one = await gwe('platform', 'write', 'p1', 'gw-1', 'engine_fetch', command('good.v1'), '--wait');
    assert.equal(one.status, 0, one.stderr);
    assert.equal(one.stdout, '');
    assert.match(one.stderr, /^written; waiting for the report of gw-1\n[\s\S]*good 1: installed\n$/);
    const value = command('good.v1', 'bad.v1');
    const two = await gwe('platform', 'write', 'p1', 'gw-1', 'engine_fetch', value, '--wait', '--json');
    assert.equal(two.status, 1, 'one of them failed');
    const { reports } = JSON.parse(two.stdout) as { reports: { name: string; outcome: string }[] };
    assert.deepEqual(
      reports.map(({ name, outcome }) => `${name} ${outcome}`),
      ['good unchanged', 'bad rolled-back'],
    );
  });

  test('check-in comes back when the agent rests again, with what became of it', async () => {
    await gwe('config', 'set', 'update_interval=14400');
    const good = await gwe('check-in', '--wait');
    assert.equal(good.status, 0, good.stderr);
    assert.equal(good.stdout, 'checked in\n');
    const json = await gwe('check-in', '--wait', '--json');
    assert.deepEqual(JSON.parse(json.stdout), { version: 1, pid: gateway.pid(), isGood: true });
  });

  test('a wait has an end, which ends nothing but the wait', async () => {
    await gateway.stop();
    const write = ['platform', 'write', 'p1', 'gw-1', 'engine_fetch', command('good.v1'), '--wait'];
    const { status, stderr } = await gwe(...write, '--timeout', '1');
    assert.equal(status, 1);
    assert.match(
      stderr,
      /gw-1 has sent 0 of 1 reports within 1 s; the command stands, see 'gwe platform history/,
    );
    assert.equal(await platform.read('p1', 'gw-1', 'engine_fetch'), command('good.v1'));
    assert.match((await gwe('check-in', '--wait')).stderr, /no gwe runs on root/);
  });

  test('what cannot be waited for is a usage error, and nothing is written', async () => {
    const refused = await gwe('platform', 'write', 'p1', 'gw-1', 'led', 'on', '--wait');
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /--wait goes only with engine_fetch/);
    assert.equal(await platform.read('p1', 'gw-1', 'led'), undefined);
    assert.equal((await gwe('check-in', '--timeout', '5')).status, 2);
    assert.match((await gwe('check-in', '--wait', '--timeout', 'x')).stderr, /expected seconds above 0/);
  });
});
