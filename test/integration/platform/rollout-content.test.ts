/** Rollouts and the content area: what a dry run knows of bytes and time, and what may not be deleted. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { encodeForm } from '../../../src/protocol/codec.ts';
import { makeIndexed } from '../../helpers/indexed.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';

interface Rig {
  platform: TestPlatform;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the platform answers
  call(path: string, body?: unknown): Promise<{ status: number; body: any }>;
  /** Status, and what it says. */
  remove(id: string): Promise<[status: number, text: string]>;
}

const OLD = 'ab12cd34'.padEnd(64, '0');
const WEEK_S = 7 * 86_400;

/** Two gateways with `hello` 1: one of them tells of what bytes it is. */
async function openRig(t: TestContext): Promise<Rig> {
  const platform = await startPlatform();
  t.after(() => platform.close());
  for (const [serial, digest] of [
    ['gw-0', OLD],
    ['gw-1', undefined],
  ] as const) {
    await platform.addDevice('p', serial);
    const cik = await platform.activate('p', serial);
    const reports: [string, string][] = [
      [
        'engine_report',
        JSON.stringify({ apps: [{ hello: { version: '1', previous: '0', status: 'RUNNING', digest } }] }),
      ],
      ['device_info', JSON.stringify({ gwe: '2.1.0', interval: 600 })],
    ];
    await fetch(`${platform.url}/onep:v1/stack/alias?engine_fetch`, {
      method: 'POST',
      headers: { 'X-Exosite-CIK': cik, 'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8' },
      body: encodeForm(reports),
    });
  }
  for (const version of ['0', '1', '2', '3'])
    await platform.putContent('p', `hello.v${version}.tar.gz`, Buffer.alloc(1000, version));
  await platform.putContent('p', 'hello.v2.ab12cd34-99999999.patch', Buffer.alloc(70, 1));
  return {
    platform,
    async call(path, body) {
      const reply = await fetch(`${platform.url}/gwe/v2/products/p/rollouts${path}`, {
        method: 'POST',
        headers: { 'X-Exosite-Token': platform.token },
        body: JSON.stringify(body ?? {}),
      });
      return { status: reply.status, body: await reply.json() };
    },
    async remove(id) {
      const reply = await fetch(`${platform.url}/provision/manage/content/p/${id}`, {
        method: 'DELETE',
        headers: { 'X-Exosite-Token': platform.token },
      });
      return [reply.status, await reply.text()];
    },
  };
}

test('a dry run counts the bytes of patches and of whole tarballs, and says how long it takes', async (t) => {
  const { call } = await openRig(t);
  const { body } = await call('/plan', {
    artifacts: ['hello.v2.tar.gz'],
    waves: [{ count: 1 }, { share: 1 }],
    soakS: 3600,
  });
  assert.deepEqual(body.ways, { patch: { gateways: 1, bytes: 70 }, whole: { gateways: 1, bytes: 1000 } });
  assert.equal(body.durationS, 2 * (600 + 3600));
});

test('who cannot run the tarball, or has no room for it, is left out of a dry run', async (t) => {
  const { call, platform } = await openRig(t);
  for (const [serial, target, available] of [
    ['gw-arm', 'linux-arm64', 900_000],
    ['gw-full', 'linux-arm64', 40_000],
    ['gw-x64', 'linux-x64', 900_000],
  ] as const) {
    await platform.addDevice('p', serial);
    const cik = await platform.activate('p', serial);
    const info = { gwe: '2.1.0', interval: 600, target, mounts: [{ path: '/', available }] };
    await fetch(`${platform.url}/onep:v1/stack/alias`, {
      method: 'POST',
      headers: { 'X-Exosite-CIK': cik, 'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8' },
      body: encodeForm([['device_info', JSON.stringify(info)]]),
    });
  }
  const facts = { name: 'big', version: '1', architectures: ['arm64', 'armv7l'] };
  const content = 'x'.repeat(50_000);
  await platform.putContent('p', 'big.v1.tar.gz', await makeIndexed(facts, { 'big/install.sh': content }));
  const { body } = await call('/plan', { artifacts: ['big.v1.tar.gz'] });
  assert.equal(body.gateways, 3, 'those that have not said what they are stay in');
  assert.deepEqual(body.excluded, {
    'made for another target': { gateways: 1, first: ['gw-x64'] },
    'disk too full': { gateways: 1, first: ['gw-full'] },
  });
});

test('what a rollout that is not over needs cannot be deleted, nor what gateways run or may go back to', async (t) => {
  const { call, remove } = await openRig(t);
  const started = await call('', { artifacts: ['hello.v2.tar.gz'] });
  assert.equal(started.status, 201, JSON.stringify(started.body));
  const [status, text] = await remove('hello.v2.tar.gz');
  assert.equal(status, 409);
  assert.match(text, new RegExp(`rollout '${started.body.id}' \\(running\\) needs it`));
  for (const id of ['hello.v0.tar.gz', 'hello.v1.tar.gz']) {
    const refused = await remove(id);
    assert.equal(refused[0], 409);
    assert.match(refused[1], /2 gateways run it or may go back to it \(gw-0, gw-1\)/);
  }
  assert.equal((await remove('hello.v3.tar.gz'))[0], 205);
  await call(`/${started.body.id}/abort`);
  assert.equal((await remove('hello.v2.tar.gz'))[0], 205);
});

test('a time and a window are kept with the rollout, which says what it waits for and until when', async (t) => {
  const { call } = await openRig(t);
  const notBefore = Math.floor(Date.now() / 1000) + WEEK_S;
  const started = await call('', { artifacts: ['hello.v2.tar.gz'], notBefore, retriesS: [60] });
  assert.deepEqual(
    [started.body.policy.notBefore, started.body.policy.retriesS, started.body.until],
    [notBefore, [60], notBefore],
  );
  assert.match(started.body.waitsFor, /^its time; 2 gateways of wave 1 to read/);
  const local = { zone: 'local', ranges: [{ days: [1], from: '01:00', to: '02:00' }] };
  const refused = await call('', { artifacts: ['hello.v2.tar.gz'], windows: local });
  assert.deepEqual([refused.status, /time zone 'local'/.test(refused.body.detail)], [422, true]);
});

test('who is held back because of its agent is said beforehand, and who may not be together is refused', async (t) => {
  const { call, platform } = await openRig(t);
  await platform.addDevice('p', 'gw-2');
  const cik = await platform.activate('p', 'gw-2');
  await fetch(`${platform.url}/onep:v1/stack/alias`, {
    method: 'POST',
    headers: { 'X-Exosite-CIK': cik, 'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8' },
    body: encodeForm([['device_info', JSON.stringify({ gwe: '2.0.9', interval: 600 })]]),
  });
  await platform.putContent('p', 'other.v1.tar.gz', Buffer.alloc(10));
  await platform.putContent('p', 'gwe.v9.tar.gz', Buffer.alloc(10));
  const together = { artifacts: ['hello.v2.tar.gz', 'other.v1.tar.gz'], together: true };
  const planned = await call('/plan', together);
  assert.deepEqual(planned.body.heldBack, { gateways: 1, first: ['gw-2'] });
  const started = await call('', together);
  assert.equal(started.body.policy.together, true);
  const text = await fetch(`${platform.url}/onep:v1/stack/alias?engine_fetch`, {
    headers: { 'X-Exosite-CIK': cik },
  });
  assert.equal(text.status, 204);
  const shown = await fetch(`${platform.url}/gwe/v2/products/p/rollouts/${started.body.id}`, {
    headers: { 'X-Exosite-Token': platform.token },
  });
  // biome-ignore lint/suspicious/noExplicitAny: whatever the platform answers
  const { heldBack }: any = await shown.json();
  assert.equal(heldBack.length, 1);
  assert.deepEqual([heldBack[0].gateways, heldBack[0].serials], [1, ['gw-2']]);
  assert.match(heldBack[0].reason, /2\.0\.9 and may not install apps together/);
  assert.ok(heldBack[0].until > started.body.startedAt);
  const refused = await call('', { artifacts: ['hello.v2.tar.gz', 'gwe.v9.tar.gz'], together: true });
  assert.deepEqual([refused.status, /'gwe' together/.test(refused.body.detail)], [422, true]);
});
