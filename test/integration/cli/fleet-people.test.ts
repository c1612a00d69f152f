/** `gwe fleet operator` and `token`, as an operator types them. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { runPlatformCli } from '../../helpers/platform-cli.ts';

let platform: TestPlatform;
before(async () => {
  platform = await startPlatform();
  writeFileSync(join(platform.directory, 'token'), platform.token, { mode: 0o600 });
});
after(() => platform.close());

async function gwe(...words: string[]): Promise<string> {
  const file = join(platform.directory, 'token');
  return (await runPlatformCli([...words, '--url', platform.url, '--token-file', file])).stdout;
}

test('the first admin is added on the server, and others by name and role', async () => {
  assert.match(await gwe('fleet', 'operator', 'list'), /gwe platform operator add NAME --admin/);
  const added = await gwe('platform', 'operator', 'add', 'ann', '--admin');
  assert.match(added, /^ann: admin of all\nfirst password, to be changed at the first login: \S{20}\n$/);
  const other = ['fleet', 'operator', 'add', 'bob@example.com', '--single-sign-on'];
  assert.equal(
    await gwe(...other, '--role', 'operator', '--product', 'acme'),
    'bob@example.com: operator of acme\n',
  );
  await gwe('fleet', 'operator', 'grant', 'bob@example.com', '--role', 'viewer');
  assert.equal(
    await gwe('fleet', 'operator', 'list'),
    'NAME             SIGNS IN BY     ROLES\n' +
      'ann              password        admin of all\n' +
      'bob@example.com  single sign-on  viewer of all\n',
  );
  assert.match(await gwe('platform', 'operator', 'reset', 'ann'), /first password/);
  assert.equal(await gwe('fleet', 'operator', 'remove', 'ann'), 'ann is removed\n');
  await assert.rejects(gwe('fleet', 'operator', 'remove', 'ann'), {
    message: "cannot remove 'ann': no such operator",
  });
  await assert.rejects(gwe('fleet', 'operator', 'add', 'eve', '--role', 'boss'), {
    code: 'USAGE_BAD_VALUE',
    message: /'boss': expected one of viewer, operator, releaser, approver, admin/,
  });
});

test('a token is printed alone, works in place of the file, and is listed with its last use', async () => {
  const text = await gwe('fleet', 'token', 'create', 'bot', '--role', 'admin', '--days', '2');
  assert.match(text, /^gwet_[0-9a-f]{12}_[0-9a-f]{64}\n$/);
  const file = join(platform.directory, 'bot');
  writeFileSync(file, text, { mode: 0o600 });
  const listed = await runPlatformCli([
    'fleet',
    'token',
    'list',
    '--url',
    platform.url,
    '--token-file',
    file,
  ]);
  assert.match(
    listed.stdout,
    /^ID .*\n[0-9a-f]{12} {2}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}\d{4}-.* {2}bot {3}admin of all\n$/,
  );
  const id = text.split('_')[1] ?? '';
  assert.equal(await gwe('fleet', 'token', 'remove', id), `${id} is removed\n`);
  const lines = (await gwe('fleet', 'audit', 'export')).trim().split('\n');
  assert.ok(lines.some((line) => JSON.parse(line).action === 'token.remove'));
  assert.match(await gwe('fleet', 'audit', 'verify'), /^\d+ entries are whole/);
});
