/** Secrets of second factors: none is kept in the clear, and the key that opens them lies beside the token. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { createSealer, SEAL_KEY_BYTES } from '../../../src/fleet/people/seal.ts';
import { totpCode } from '../../../src/fleet/people/totp.ts';
import { createFleetApi } from '../../../src/fleet-api/fleet-api.ts';
import { type StartOptions, startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { runPlatformCli } from '../../helpers/platform-cli.ts';

const NOW_S = 1_800_000_000;
const PASSWORD = 'correct horse battery';

/** `key`: a byte of it; without one the platform has none. */
function withKey(key: number | undefined, stepsOn: number): StartOptions {
  const sealer = key === undefined ? undefined : createSealer(Buffer.alloc(SEAL_KEY_BYTES, key));
  return {
    clock: { ...createSystemClock(), wallMs: () => (NOW_S + stepsOn * 30) * 1000 },
    operatorApi: ({ bodyLimits, ...context }) => createFleetApi({ ...context, sealer }, bodyLimits),
  };
}

// biome-ignore lint/suspicious/noExplicitAny: whatever the platform answers
type Reply = { status: number; body: any; session: Record<string, string> };

async function post(
  { url }: TestPlatform,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Reply> {
  const reply = await fetch(`${url}/gwe/v2${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  const found = JSON.parse(await reply.text());
  const [cookie = ''] = (reply.headers.get('set-cookie') ?? '').split(';');
  return {
    status: reply.status,
    body: found,
    session: { Cookie: cookie, 'X-Gwe-Change': found.changeToken ?? '' },
  };
}

/** Ann, who has changed her first password. */
async function addAnn(platform: TestPlatform): Promise<Record<string, string>> {
  const added = await post(
    platform,
    '/operators',
    { name: 'ann', grants: [{ role: 'viewer', product: 'p' }] },
    { 'X-Exosite-Token': platform.token },
  );
  const { password } = added.body;
  const first = await post(platform, '/login', { name: 'ann', password });
  const changed = await post(platform, '/me/password', { password, newPassword: PASSWORD }, first.session);
  assert.equal(changed.status, 200);
  return changed.session;
}

const logIn = (platform: TestPlatform, secret: string, step: number): Promise<Reply> =>
  post(platform, '/login', { name: 'ann', password: PASSWORD, code: totpCode(secret, NOW_S / 30 + step) });

function scratchOf(t: TestContext): string {
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-factors-'));
  t.after(() => rmSync(scratch, { recursive: true, force: true }));
  return scratch;
}

/** Of the account, as it is in the database of a platform that is closed. */
function accountIn(dir: string, change?: (body: string) => string): string {
  const database = new DatabaseSync(join(dir, 'platform.db'));
  try {
    const row = database
      .prepare("SELECT body FROM fleet_record WHERE kind = 'operator' AND key = 'ann'")
      .get();
    const body = String(row?.body);
    if (change !== undefined)
      database
        .prepare("UPDATE fleet_record SET body = ? WHERE kind = 'operator' AND key = 'ann'")
        .run(change(body));
    return body;
  } finally {
    database.close();
  }
}

test('the secret of a second factor is not in the database, and opens with its key alone', async (t) => {
  const dir = join(scratchOf(t), 'data');
  const begun = await startPlatform({ ...withKey(1, 0), dir });
  const session = await addAnn(begun);
  const { body } = await post(begun, '/me/second-factor', { password: PASSWORD }, session);
  const code = totpCode(body.secret, NOW_S / 30);
  assert.equal((await post(begun, '/me/second-factor/confirm', { code }, session)).status, 200);
  await begun.close();
  const kept = accountIn(dir);
  assert.doesNotMatch(kept, new RegExp(body.secret));
  assert.match(kept, /"totp":"sealed1\./);

  const again = await startPlatform({ ...withKey(1, 1), dir });
  assert.equal((await logIn(again, body.secret, 1)).status, 200);
  assert.equal((await logIn(again, body.secret, 1)).status, 401, 'a code opens once');
  await again.close();
  for (const key of [2, undefined]) {
    const other = await startPlatform({ ...withKey(key, 2), dir });
    const refused = await logIn(other, body.secret, 2);
    assert.equal(refused.status, 409);
    assert.match(refused.body.detail, /second factor of 'ann': .* key.*'seal-key'.*operator reset ann/);
    await other.close();
  }
});

test('one that was kept in the clear is sealed with the next login', async (t) => {
  const dir = join(scratchOf(t), 'data');
  const first = await startPlatform({ ...withKey(1, 0), dir });
  await addAnn(first);
  await first.close();
  const secret = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  accountIn(dir, (body) => JSON.stringify({ ...JSON.parse(body), totp: secret }));
  const platform = await startPlatform({ ...withKey(1, 1), dir });
  assert.equal((await logIn(platform, secret, 1)).status, 200);
  await platform.close();
  assert.match(accountIn(dir), /"totp":"sealed1\./);
});

test('without a key none can be begun', async (t) => {
  const platform = await startPlatform(withKey(undefined, 0));
  t.after(() => platform.close());
  const refused = await post(platform, '/me/second-factor', { password: PASSWORD }, await addAnn(platform));
  assert.deepEqual([refused.status, /no file 'seal-key'/.test(refused.body.detail)], [409, true]);
});

/** Serves until it listens. */
async function serve(...options: string[]): Promise<string> {
  return serveWith({}, ...options);
}

async function serveWith(env: Record<string, string>, ...options: string[]): Promise<string> {
  const listening = new AbortController();
  const { stderr } = await runPlatformCli(
    ['platform', 'serve', '--listen', '127.0.0.1:0', '--log-level', 'error', ...options],
    {
      env,
      signal: listening.signal,
      onStdout: () => listening.abort(),
    },
  );
  return stderr;
}

test('a platform makes its key once, beside its token, for itself alone to read', async (t) => {
  const scratch = scratchOf(t);
  const dir = join(scratch, 'data');
  await serve('--data', dir);
  const path = join(dir, 'seal-key');
  const key = readFileSync(path, 'utf8');
  assert.match(key, /^[0-9a-f]{64}\n$/);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  await serve('--data', dir);
  assert.equal(readFileSync(path, 'utf8'), key);

  mkdirSync(join(scratch, 'etc'));
  const token = join(scratch, 'etc', 'token');
  writeFileSync(token, 'x'.repeat(32), { mode: 0o600 });
  await serve('--data', dir, '--token-file', token);
  assert.notEqual(readFileSync(join(scratch, 'etc', 'seal-key'), 'utf8'), key);

  chmodSync(path, 0o640);
  await assert.rejects(serve('--data', dir), /cannot use seal key file '.*': found mode 640, expected 600/);
  chmodSync(path, 0o600);
  writeFileSync(path, 'short');
  await assert.rejects(serve('--data', dir), /cannot use seal key '.*': found 5 characters, expected 64/);
});

test('as a service, a platform takes a token that it cannot write beside, and makes its key where it is told', async (t) => {
  const scratch = scratchOf(t);
  const [given, dir] = [join(scratch, 'credentials'), join(scratch, 'data')];
  mkdirSync(given);
  // As systemd hands it over where its file system has lists of rights.
  writeFileSync(join(given, 'token-file'), 'x'.repeat(32), { mode: 0o440 });
  const options = ['--data', dir, '--token-file', join(given, 'token-file')];
  await assert.rejects(serve(...options), /cannot use token file .*: found mode 440, expected 600/);
  const key = join(dir, 'seal-key');
  await serveWith({ CREDENTIALS_DIRECTORY: given }, ...options, '--seal-key-file', key);
  assert.match(readFileSync(key, 'utf8'), /^[0-9a-f]{64}\n$/);
  assert.deepEqual(readdirSync(given), ['token-file']);
});
