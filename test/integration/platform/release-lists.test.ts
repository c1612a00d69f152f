/** The release list of a product, as the fleet goes by it: what a dry run leaves out, and what is shown of it. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { encodeForm } from '../../../src/protocol/codec.ts';
import { makeIndexed, newKey } from '../../helpers/indexed.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { runPlatformCli } from '../../helpers/platform-cli.ts';
import { createPeople, DAY_S, type Listing, listReleases } from '../../helpers/signed-rig.ts';

const people = createPeople();
const lister = newKey();
const nowS = (): number => Math.floor(Date.now() / 1000);

describe('a release list, as the fleet goes by it', () => {
  let platform: TestPlatform;
  const keys = new Map<string, string>();
  const digests: Record<string, string> = {};

  before(async () => {
    platform = await startPlatform();
    for (const version of ['1', '2', '3'])
      digests[`one.v${version}`] = await people.put(platform, 'one', version);
    await platform.putContent('p1', 'raw.v1.tar.gz', Buffer.alloc(900, 1));
    for (const serial of ['gw-free', 'gw-list', 'gw-back', 'gw-late', 'gw-arm']) {
      await platform.addDevice('p1', serial);
      keys.set(serial, await platform.activate('p1', serial));
      await tell(serial);
    }
  });
  after(() => platform.close());

  /** What each gateway reports: gw-free goes by no list, gw-late installs past its end, gw-back had version 3 before. */
  async function tell(
    serial: string,
    releases: object = { state: 'fresh', release: 1, expires: nowS() + DAY_S },
  ) {
    const own = serial === 'gw-late' ? { ...releases, stale_ok: true } : releases;
    const info = {
      gwe: '2.1.0',
      interval: 600,
      target: serial === 'gw-arm' ? 'linux-armv7l' : 'linux-x64',
      ...(serial === 'gw-free' ? {} : { releases: own }),
    };
    const app = { version: '1', previous: serial === 'gw-back' ? '3' : '0', status: 'RUNNING' };
    await fetch(`${platform.url}/onep:v1/stack/alias?engine_fetch`, {
      method: 'POST',
      headers: {
        'X-Exosite-CIK': keys.get(serial) ?? '',
        'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8',
      },
      body: encodeForm([
        ['engine_report', JSON.stringify({ apps: [{ one: app }] })],
        ['device_info', JSON.stringify(info)],
      ]),
    });
  }

  // biome-ignore lint/suspicious/noExplicitAny: whatever the platform answers
  async function call(method: string, path: string, body?: unknown): Promise<{ status: number; body: any }> {
    const reply = await fetch(`${platform.url}/gwe/v2/products/p1${path}`, {
      method,
      headers: { 'X-Exosite-Token': platform.token },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: reply.status, body: await reply.json() };
  }

  async function put(release: number, ids: readonly string[], more: Partial<Listing> = {}): Promise<void> {
    const versions = Object.fromEntries(ids.map((id) => [id, digests[id] ?? '']));
    const bytes = await listReleases({ release, versions, by: [lister], ...more });
    await platform.putContent('p1', 'gwe-releases', bytes);
  }

  /** Reason -> serial numbers. */
  async function left(artifact: string): Promise<Record<string, string[]>> {
    const { status, body } = await call('POST', '/rollouts/plan', { artifacts: [artifact] });
    assert.equal(status, 200, JSON.stringify(body));
    return Object.fromEntries(
      Object.entries<{ first: string[] }>(body.excluded).map(([reason, { first }]) => [reason, first]),
    );
  }

  test('without a list in the content area only those are left out that have none either', async () => {
    await tell('gw-list', { state: 'missing' });
    assert.deepEqual(await left('one.v2.tar.gz'), {
      "goes by a release list and has none: sign one, and upload it as 'gwe-releases'": ['gw-list'],
    });
    await tell('gw-list');
    assert.equal((await call('GET', '/releases')).body.list, null);
  });

  test('what the list does not name is left out where a list is gone by, but for a way back', async () => {
    await put(2, ['one.v1', 'one.v2']);
    assert.deepEqual(await left('one.v2.tar.gz'), {});
    const reason = `release list 2 does not name one 3 (${digests['one.v3']?.slice(0, 8)}): name it in the next list, sign and upload that`;
    assert.deepEqual(await left('one.v3.tar.gz'), { [reason]: ['gw-arm', 'gw-late', 'gw-list'] });
    const none = Object.keys(await left('raw.v1.tar.gz'));
    assert.deepEqual(none, [
      "raw 1 has no manifest, so no release list can name it: 'gwe sign' makes one; upload that, and a list that names it",
    ]);
    const { body } = await call('POST', '/rollouts/plan', { artifacts: ['one.v3.tar.gz'] });
    assert.deepEqual(
      [body.releases.release, body.releases.named, body.releases.gateways, body.gateways],
      [2, [], 4, 2],
    );
  });

  test('a version of the same number and of other bytes is not the one that is named', async () => {
    const other = await makeIndexed({ name: 'one', version: '2' }, { 'install.sh': '#!/bin/sh\n' }, [
      people.maker,
    ]);
    await platform.putContent('p1', 'one.v2.tar.gz', other);
    assert.match(Object.keys(await left('one.v2.tar.gz')).join(), /does not name one 2 \([0-9a-f]{8}\)/);
    await people.put(platform, 'one', '2');
  });

  test('for another CPU alone it is not named either', async () => {
    await put(2, ['one.v1', 'one.v2'], { target: 'x64' });
    assert.deepEqual(Object.values(await left('one.v2.tar.gz')), [['gw-arm']]);
  });

  test('past its end nothing new goes to those who mind', async () => {
    await put(3, ['one.v1', 'one.v2'], { issuedS: nowS() - 5 * DAY_S, expiresS: nowS() - DAY_S });
    const out = await left('one.v2.tar.gz');
    assert.deepEqual(Object.values(out), [['gw-arm', 'gw-back', 'gw-list']]);
    assert.match(
      Object.keys(out).join(),
      /^release list 3 has expired \(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\): sign and upload a newer one$/,
    );
  });

  test('a list that none of them may take over is said to be that, and what they have counts', async () => {
    for (const [words, more] of [
      [/is of product 'p2', expected 'p1'/, { product: 'p2' }],
      [/nobody has signed it/, { by: [] }],
    ] as const) {
      await put(4, ['one.v1'], more);
      const { body } = await call('POST', '/rollouts/plan', { artifacts: ['one.v2.tar.gz'] });
      assert.match(body.releases.problem, words);
      assert.deepEqual(body.excluded, {});
      assert.match((await call('GET', '/releases')).body.problem, words);
    }
    await platform.putContent('p1', 'gwe-releases', Buffer.from('{}'));
    assert.match((await call('GET', '/releases')).body.problem, /cannot be read/);
    await put(1, ['one.v2']);
    await tell('gw-list', { state: 'fresh', release: 9, expires: nowS() + DAY_S });
    const { body } = await call('POST', '/rollouts/plan', { artifacts: ['one.v2.tar.gz'] });
    assert.deepEqual([body.releases.ahead, body.excluded], [1, {}]);
    await tell('gw-list');
  });

  test('a rollout of what all would refuse is not started', async () => {
    await put(5, ['one.v1', 'one.v2'], { expiresS: nowS() + 29.5 * DAY_S });
    const spec = { artifacts: ['one.v3.tar.gz'], serials: ['gw-list', 'gw-arm'] };
    const { status, body } = await call('POST', '/rollouts', spec);
    assert.equal(status, 409);
    assert.match(body.detail, /no gateway is in it \(2 release list 5 does not name one 3/);
  });

  test('the list is shown with the days that are left, and with what is there and not named', async () => {
    const { body } = await call('GET', '/releases');
    assert.deepEqual(
      [body.list.release, body.daysLeft, body.signatures, Object.keys(body.list.apps)],
      [5, 29, [lister.keyId], ['one']],
    );
    assert.deepEqual(body.unlisted, [
      { app: 'one', version: '3', gateways: 0, isUploaded: true },
      { app: 'raw', version: '1', gateways: 0, isUploaded: true },
    ]);
    assert.deepEqual(body.gateways, { all: 5, goBy: 4, stale: 0, missing: 0 });
    await put(6, ['one.v2'], { expiresS: nowS() + 29.5 * DAY_S });
    const { unlisted } = (await call('GET', '/releases')).body;
    assert.deepEqual(unlisted[0], { app: 'one', version: '1', gateways: 5, isUploaded: true });
  });

  test('the command line says the same, in lines of a narrow terminal', async () => {
    const env = {
      GWE_PLATFORM_URL: platform.url,
      GWE_PLATFORM_TOKEN_FILE: `${platform.directory}/test-token`,
    };
    writeFileSync(env.GWE_PLATFORM_TOKEN_FILE, platform.token);
    const shown = (await runPlatformCli(['fleet', 'releases', 'p1'], { env })).stdout;
    assert.match(
      shown,
      /^release list 6 of p1: 29 days left, until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\nsigned by \w+\n/,
    );
    assert.match(shown, /\none +2 +[0-9a-f]{8} +0\n/);
    assert.match(shown, /not named: one 1, on 5 gateways\nnot named: one 3, uploaded\n/);
    assert.ok(
      shown.split('\n').every((line) => line.length <= 80),
      shown,
    );
    const plan = (await runPlatformCli(['fleet', 'rollout', 'plan', 'p1', 'one.v3.tar.gz'], { env })).stdout;
    assert.match(
      plan,
      /\nrelease list 6 \(29 days left\) does not name one\.v3\.tar\.gz; 4 gateways say that they go by one\n/,
    );
    assert.match(plan, /\nnot 3: release list 6 does not name one 3 /);
    const start = runPlatformCli(
      ['fleet', 'rollout', 'start', 'p1', 'one.v3.tar.gz', '--filter', 'serial=gw-list'],
      { env },
    );
    await assert.rejects(start, /^GweError: cannot start the rollout: no gateway is in it/);
    const document = JSON.parse(
      (await runPlatformCli(['fleet', 'releases', 'p1', '--json'], { env })).stdout,
    );
    assert.deepEqual([document.version, document.list.release], [1, 6]);
  });
});
