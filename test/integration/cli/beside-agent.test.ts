import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { digestText, entryId } from '../../../src/store/command.ts';
import { createGateway, FROM_SOURCE, type Gateway } from '../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { makeTarball } from '../../helpers/tarball.ts';
import { until } from '../../helpers/until.ts';

const PATIENCE_MS = 60_000;

async function setUp(t: TestContext): Promise<{ platform: TestPlatform; gateway: Gateway; ran(): string }> {
  const platform = await startPlatform();
  const gateway = await createGateway(platform);
  t.after(async () => {
    await gateway.remove();
    await platform.close();
  });
  const ran = (): string => {
    const path = join(gateway.root, 'ran');
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  };
  return { platform, gateway, ran };
}

const oneOff = (script: string): Buffer => makeTarball({ 'install.sh': `#!/bin/sh\n${script}\n` });
/** Notes each run in the root of the gateway. */
const noting = (more = ''): Buffer =>
  oneOff(`echo "$GWE_APP_NAME $GWE_APP_VERSION" >> ../../../../../ran\n${more}`);

function save(gateway: Gateway, name: string, content: Buffer): string {
  const path = join(gateway.root, name);
  writeFileSync(path, content);
  return path;
}

test('an entry that ended is not carried out again, although a command line used the journal since', async (t) => {
  const { platform, gateway, ran } = await setUp(t);
  await platform.putContent('p1', 'one.v1.tar.gz', noting());
  const text = '{"install":[{"name":"one.v1.tar.gz"}]}';
  const current = {
    id: 'c0ffee',
    digest: digestText(text),
    clear: 'shown' as const,
    entries: [{ contentId: 'one.v1.tar.gz' }],
    next: 0,
  };
  const ended = {
    tx: entryId(current, 0),
    app: 'one',
    version: '1',
    outcome: 'installed',
    startedAtMs: 1,
    endedAtMs: 2,
    bytesFetched: 3,
  };
  mkdirSync(join(gateway.root, 'var/lib/gwe'), { recursive: true });
  writeFileSync(join(gateway.root, 'var/lib/gwe/command.json'), JSON.stringify({ version: 1, current }));
  writeFileSync(join(gateway.root, 'var/lib/gwe/history.json'), JSON.stringify([ended]));
  gateway.start();
  await until(() => !existsSync(join(gateway.root, 'var/lib/gwe/command.json')), PATIENCE_MS);
  assert.equal(ran(), '');
});

test('after a rollback by hand the command for that version runs its install.sh without fetching it', async (t) => {
  const { platform, gateway } = await setUp(t);
  gateway.start();
  for (const version of ['1', '2']) {
    await platform.putContent('p1', `one.v${version}.tar.gz`, noting());
    await gateway.command(platform, `{"install":[{"name":"one.v${version}.tar.gz"}]}`, PATIENCE_MS);
  }
  const before = (await platform.history('p1', 'gw-1', 'fetch_status')).length;
  const back = gateway.gwe('rollback', 'one');
  assert.equal(back.status, 0, back.stdout + back.stderr);
  await until(
    async () => (await platform.history('p1', 'gw-1', 'fetch_status')).length > before,
    PATIENCE_MS,
  );
  const report = await gateway.command(platform, '{"install":[{"name":"one.v1.tar.gz"}]}', PATIENCE_MS);
  assert.deepEqual([report.outcome, report.bytes], ['unchanged', 0], JSON.stringify(report));
});

test('a killed install is finished or undone by the next command before it begins its own', async (t) => {
  const { gateway, ran } = await setUp(t);
  const hanging = save(
    gateway,
    'slow.v1.tar.gz',
    noting('while [ ! -e ../../../../../go ]; do sleep 0.1; done'),
  );
  const [program = '', ...first] = FROM_SOURCE;
  const env = { ...process.env, GWE_ROOT: gateway.root };
  const child = spawn(program, [...first, '-I', hanging], { env, stdio: 'ignore' });
  const gone = new Promise((resolve) => child.once('close', resolve));
  await until(() => ran() !== '', PATIENCE_MS);
  child.kill('SIGKILL');
  await gone;
  writeFileSync(join(gateway.root, 'go'), '');
  const next = gateway.gwe('-I', save(gateway, 'two.v1.tar.gz', noting()));
  assert.equal(next.status, 0, next.stdout + next.stderr);
  assert.equal(ran(), 'slow 1\ntwo 1\n', 'the first went on and was waited for, then came the second');
  const { apps } = JSON.parse(gateway.gwe('list', '--json').stdout);
  assert.deepEqual(
    apps.map((each: { app: string }) => each.app),
    ['slow', 'two'],
  );
});
