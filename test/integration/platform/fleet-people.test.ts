/** People: accounts, sessions, second factors, limits, and what is asked twice. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { totpCode } from '../../../src/fleet/people/totp.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';

interface Reply {
  status: number;
  cookie: string;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the platform answers
  body: any;
}

interface Rig {
  platform: TestPlatform;
  clock: { nowMs: number };
  /** With the server's own token, but where other headers say who asks. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  /** With a session, or with nothing. */
  as(cookie: string, method: string, path: string, body?: unknown): Promise<Reply>;
}

async function openRig(t: TestContext): Promise<Rig> {
  const clock = { nowMs: 1_800_000_000_000 };
  const platform = await startPlatform({ clock: standingClock(clock) });
  t.after(() => platform.close());
  const send = async (
    method: string,
    path: string,
    body: unknown,
    headers: Record<string, string>,
  ): Promise<Reply> => {
    const reply = await fetch(`${platform.url}/gwe/v2${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await reply.text();
    const [pair = ''] = (reply.headers.get('set-cookie') ?? '').split(';');
    const found = text === '' ? undefined : JSON.parse(text);
    const cookie = `${pair} ${found?.changeToken ?? ''}`;
    return { status: reply.status, cookie, headers: reply.headers, body: found };
  };
  return {
    platform,
    clock,
    call: (method, path, body, headers = {}) =>
      send(method, path, body, { 'X-Exosite-Token': platform.token, ...headers }),
    as: (session, method, path, body) => {
      const [cookie = '', change = ''] = session.split(' ');
      return send(method, path, body, session === '' ? {} : { Cookie: cookie, 'X-Gwe-Change': change });
    },
  };
}

function standingClock(clock: { nowMs: number }): ReturnType<typeof createSystemClock> {
  return { ...createSystemClock(), wallMs: () => clock.nowMs };
}

const ADMIN = [{ role: 'admin', product: '*' }];

/** An operator who has changed the first password; the cookie of a session, and the password. */
async function addPerson(
  rig: Rig,
  name: string,
  grants: object[],
): Promise<{ cookie: string; password: string }> {
  const added = await rig.call('POST', '/operators', { name, grants });
  assert.equal(added.status, 201);
  const first = await rig.as('', 'POST', '/login', { name, password: added.body.password });
  assert.equal(first.status, 200);
  const password = `a good long password of ${name}`;
  const changed = await rig.as(first.cookie, 'POST', '/me/password', {
    password: added.body.password,
    newPassword: password,
  });
  assert.equal(changed.status, 200);
  return { cookie: changed.cookie, password };
}

test('a first password opens nothing but its change, and a change ends the other sessions', async (t) => {
  const rig = await openRig(t);
  const { platform, as } = rig;
  await platform.addDevice('p', 'gw-0');
  const added = await rig.call('POST', '/operators', { name: 'ann', grants: ADMIN });
  assert.equal((await rig.call('POST', '/operators', { name: 'ann', grants: ADMIN })).status, 409);
  const login = { name: 'ann', password: added.body.password };
  const reply = await as('', 'POST', '/login', login);
  assert.match(reply.headers.get('set-cookie') ?? '', /HttpOnly; SameSite=Strict$/);
  assert.equal(reply.body.mustChangePassword, true);
  assert.equal((await as(reply.cookie, 'GET', '/products/p/devices')).status, 403);
  const short = { password: login.password, newPassword: 'short' };
  assert.equal((await as(reply.cookie, 'POST', '/me/password', short)).status, 422);
  const change = { password: login.password, newPassword: 'correct horse battery' };
  const changed = await as(reply.cookie, 'POST', '/me/password', change);
  assert.equal((await as(changed.cookie, 'GET', '/products/p/devices')).status, 200);
  assert.equal((await as(reply.cookie, 'GET', '/me')).status, 401, 'the old session has ended');
  assert.equal((await as('', 'POST', '/login', login)).status, 401, 'the first password is gone');
  assert.equal((await as(changed.cookie, 'DELETE', '/session')).status, 200);
  assert.equal((await as(changed.cookie, 'GET', '/me')).status, 401);
  const audit = JSON.stringify((await rig.call('GET', '/audit')).body);
  assert.doesNotMatch(audit, new RegExp(`${change.newPassword}|${login.password}|scrypt`));
  assert.match(audit, /operator\.add.*login.*operator\.password/s);
});

test('a session ends after twelve hours, with the account, and follows its roles at once', async (t) => {
  const rig = await openRig(t);
  await rig.platform.addDevice('p', 'gw-0');
  const ann = await addPerson(rig, 'ann', [{ role: 'viewer', product: 'p' }]);
  const bob = await addPerson(rig, 'bob', ADMIN);
  const tag = () => rig.as(ann.cookie, 'PATCH', '/products/p/devices/gw-0/tags', { a: 'b' });
  assert.equal((await tag()).status, 403);
  const grants = [{ role: 'operator', product: 'p' }];
  assert.equal((await rig.as(bob.cookie, 'PUT', '/operators/ann/grants', { grants })).status, 200);
  assert.equal((await tag()).status, 200);
  assert.equal((await rig.as(bob.cookie, 'DELETE', '/operators/bob')).status, 409);
  assert.equal((await rig.as(bob.cookie, 'DELETE', '/operators/ann')).status, 200);
  assert.equal((await tag()).status, 401);
  await rig.call('POST', '/operators', { name: 'ann', grants: ADMIN });
  assert.equal((await tag()).status, 401, 'a new account of the name has no old sessions');
  assert.equal((await rig.as(bob.cookie, 'GET', '/me')).body.name, 'bob');
  rig.clock.nowMs += 12 * 3600_000;
  assert.equal((await rig.as(bob.cookie, 'GET', '/me')).status, 401);
});

test('a code of the second factor opens once, and the server alone takes the factor away', async (t) => {
  const rig = await openRig(t);
  const ann = await addPerson(rig, 'ann', ADMIN);
  const begun = await rig.as(ann.cookie, 'POST', '/me/second-factor', { password: ann.password });
  assert.match(begun.body.uri, /^otpauth:\/\/totp\/gwe:ann\?secret=[A-Z2-7]{32}&issuer=gwe$/);
  const code = () => totpCode(begun.body.secret, Math.floor(rig.clock.nowMs / 30_000));
  const wrong = String((Number(code()) + 1) % 1_000_000).padStart(6, '0');
  assert.equal((await rig.as(ann.cookie, 'POST', '/me/second-factor/confirm', { code: wrong })).status, 422);
  const login = { name: 'ann', password: ann.password };
  assert.equal((await rig.as('', 'POST', '/login', login)).status, 200, 'not before it is confirmed');
  assert.equal((await rig.as(ann.cookie, 'POST', '/me/second-factor/confirm', { code: code() })).status, 200);
  const without = await rig.as('', 'POST', '/login', login);
  assert.deepEqual([without.status, /second factor/.test(without.body.detail)], [401, true]);
  assert.equal((await rig.as('', 'POST', '/login', { ...login, code: code() })).status, 401, 'it was used');
  rig.clock.nowMs += 30_000;
  const opened = await rig.as('', 'POST', '/login', { ...login, code: code() });
  assert.equal(opened.status, 200);
  assert.equal((await rig.as('', 'POST', '/login', { ...login, code: code() })).status, 401);
  const token = await rig.call('POST', '/tokens', { name: 'bot', role: 'admin', product: '*', days: 1 });
  const bearer = { 'X-Exosite-Token': token.body.text };
  assert.equal((await rig.call('POST', '/operators/ann/reset', undefined, bearer)).status, 403);
  const reset = await rig.call('POST', '/operators/ann/reset');
  assert.equal((await rig.as(opened.cookie, 'GET', '/me')).status, 401);
  const again = await rig.as('', 'POST', '/login', { name: 'ann', password: reset.body.password });
  assert.deepEqual([again.status, again.body.hasSecondFactor], [200, false]);
});

test('guesses are counted for an account and an address, whoever has the password waits too, and for a while', async (t) => {
  const rig = await openRig(t);
  const ann = await addPerson(rig, 'ann', ADMIN);
  const wrong = { name: 'ann', password: 'wrong' };
  const replies = await Promise.all(Array.from({ length: 12 }, () => rig.as('', 'POST', '/login', wrong)));
  assert.deepEqual(replies.map(({ status }) => status).sort(), [...Array<number>(10).fill(401), 429, 429]);
  const refused = await rig.as('', 'POST', '/login', { name: 'ann', password: ann.password });
  assert.deepEqual([refused.status, Number(refused.headers.get('retry-after')) > 0], [429, true]);
  const nobody = await rig.as('', 'POST', '/login', { name: 'nobody', password: 'x' });
  assert.deepEqual([nobody.status, nobody.body.detail], [401, 'cannot log in: name or password is wrong']);
  rig.clock.nowMs += 900_000;
  assert.equal((await rig.as('', 'POST', '/login', { name: 'ann', password: ann.password })).status, 200);
});

test('what is asked twice under one key is done once, and no secret is kept for it', async (t) => {
  const rig = await openRig(t);
  await rig.platform.addDevice('p', 'gw-0');
  const cik = await rig.platform.activate('p', 'gw-0');
  await fetch(`${rig.platform.url}/onep:v1/stack/alias?a`, { headers: { 'X-Exosite-CIK': cik } });
  await rig.platform.putContent('p', 'hello.v1.tar.gz', Buffer.alloc(10));
  const spec = { artifacts: ['hello.v1.tar.gz'] };
  const key = { 'Idempotency-Key': 'k-1' };
  const replies = await Promise.all(
    Array.from({ length: 4 }, () => rig.call('POST', '/products/p/rollouts', spec, key)),
  );
  const done = replies.filter(({ status }) => status === 201);
  assert.ok(
    done.length >= 1 && replies.every(({ status }) => status === 201 || status === 409),
    JSON.stringify(replies.map(({ body }) => body)),
  );
  const again = await rig.call('POST', '/products/p/rollouts', spec, key);
  assert.deepEqual([again.status, again.body], [201, done[0]?.body]);
  assert.equal((await rig.call('GET', '/products/p/rollouts')).body.rollouts.length, 1);
  const other = await rig.call('POST', '/products/p/rollouts', { ...spec, soakS: 0 }, key);
  assert.equal(other.status, 422);
  assert.equal(
    (await rig.call('POST', '/products/p/rollouts', {}, { 'Idempotency-Key': 'k-2' })).status,
    422,
  );
  const mended = await rig.call('POST', '/products/p/rollouts', spec, { 'Idempotency-Key': 'k-2' });
  assert.equal(mended.status, 201, 'a refusal is not kept');
  const token = { name: 'bot', role: 'viewer', product: 'p', days: 1 };
  const made = await rig.call('POST', '/tokens', token, { 'Idempotency-Key': 'k-3' });
  const repeated = await rig.call('POST', '/tokens', token, { 'Idempotency-Key': 'k-3' });
  assert.deepEqual([repeated.body.id, repeated.body.text], [made.body.id, undefined]);
  assert.equal((await rig.call('GET', '/tokens')).body.tokens.length, 1);
});

test('a token tells when it was last used', async (t) => {
  const rig = await openRig(t);
  const made = await rig.call('POST', '/tokens', { name: 'bot', role: 'viewer', product: '*', days: 1 });
  const lastUse = async () => (await rig.call('GET', '/tokens')).body.tokens[0].lastUsedAt;
  assert.equal(await lastUse(), 0);
  const use = () => rig.call('GET', '/me', undefined, { 'X-Exosite-Token': made.body.text });
  assert.equal((await use()).body.kind, 'token');
  assert.equal(await lastUse(), rig.clock.nowMs / 1000);
  rig.clock.nowMs += 61_000;
  await use();
  assert.equal(await lastUse(), rig.clock.nowMs / 1000);
});
