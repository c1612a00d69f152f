/** Gateways as tables in and out, and gateways that nobody may touch. */
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { runPlatformCli } from '../../helpers/platform-cli.ts';
import { removeRoot } from '../../helpers/remove-root.ts';

let platform: TestPlatform;
const home = mkdtempSync(join(tmpdir(), 'gwe-lists-'));

before(async () => {
  platform = await startPlatform();
  writeFileSync(join(home, 'token'), platform.token, { mode: 0o600 });
});
after(async () => {
  await platform.close();
  removeRoot(home);
});

async function gwe(...words: string[]): Promise<string> {
  const options = ['--url', platform.url, '--token-file', join(home, 'token')];
  return (await runPlatformCli(['fleet', ...words, ...options])).stdout;
}

function table(...lines: string[]): string {
  const path = join(home, 'table.csv');
  writeFileSync(path, `${lines.join('\r\n')}\r\n`);
  return path;
}

test('a table for a product that does not exist is refused, and taken with --create', async () => {
  const file = table('serial', 'first');
  await assert.rejects(gwe('device', 'import', 'fresh', file), /no such product; --create makes it/);
  const made = await gwe('device', 'import', 'fresh', file, '--create', '--enable');
  assert.equal(made, '1 rows: 1 added, 0 tagged, 1 enabled\n');
});

test('a table adds serial numbers and sets tags, and its own export changes nothing', async () => {
  await platform.addDevice('p', 'old');
  const file = table(
    '\ufeffserial,tag.site,tag.note',
    'old,berlin,',
    '"new, one","K\u00f6ln","says ""hi"""',
    'x,,=1+1',
  );
  assert.equal(await gwe('device', 'import', 'p', file), '3 rows: 2 added, 3 tagged, 0 enabled\n');
  const exported = await gwe('device', 'export', 'p');
  assert.equal(
    exported.replace(/\r\n/g, '\n'),
    'serial,state,last_seen,silent,hold,gwe,target,apps,tag.note,tag.site\n' +
      '"new, one",unused,,,,,,,"says ""hi""",K\u00f6ln\n' +
      'old,notactivated,,,,,,,,berlin\n' +
      "x,unused,,,,,,,'=1+1,\n",
  );
  const back = join(home, 'back.csv');
  writeFileSync(back, exported);
  assert.equal(await gwe('device', 'import', 'p', back), '3 rows: 0 added, 3 tagged, 0 enabled\n');
  assert.equal(await gwe('device', 'export', 'p'), exported);
  const found = JSON.parse(await gwe('device', 'show', 'p', 'x', '--json'));
  assert.deepEqual(found.tags, { note: '=1+1' });
  assert.equal(
    await gwe('device', 'import', 'p', file, '--enable'),
    '3 rows: 0 added, 3 tagged, 3 enabled\n',
  );
});

test('a column that means nothing is named, and one of an export is not', async () => {
  await platform.addDevice('q', 'old');
  const file = table('serial,tags.site,state,Location', 'old,berlin,unused,hall 3');
  assert.equal(
    await gwe('device', 'import', 'q', file),
    '1 rows: 0 added, 0 tagged, 0 enabled\nignored columns: tags.site, Location (expected serial, and tag.NAME for tags)\n',
  );
});

test('a rollout that follows says whom, until it is finished', async () => {
  await platform.putContent('f', 'hello.v1.tar.gz', Buffer.alloc(100));
  const text = await gwe(
    'rollout',
    'start',
    'f',
    'hello.v1.tar.gz',
    '--follow',
    '--filter',
    'tag.site=berlin',
  );
  assert.match(text, /^takes in later: tag\.site=berlin, until finished$/m);
  const [id = ''] = text.split(' ');
  assert.doesNotMatch(await gwe('rollout', 'finish', 'f', id), /takes in later/);
  await assert.rejects(gwe('rollout', 'finish', 'f', id), /it follows no gateways, and ends by itself/);
});

test('a bad row is named, and nothing of its table is taken', async () => {
  const bad = (...lines: string[]) => gwe('device', 'import', 'p', table(...lines));
  const latin = join(home, 'latin.csv');
  writeFileSync(latin, Buffer.from('serial,tag.site\nfresh-0,K\u00f6ln\n', 'latin1'));
  await assert.rejects(gwe('device', 'import', 'p', latin), {
    message: /not in UTF-8; save it as CSV UTF-8/,
  });
  await assert.rejects(bad('number', 'a'), { message: /expected a first line with 'serial'/ });
  await assert.rejects(bad('serial', 'fresh-1', 'fresh-1'), { message: /row 3: 'fresh-1' is there twice/ });
  await assert.rejects(bad('serial,tag.a', 'fresh-1,b', ',c'), {
    message: /row 3: cannot use an empty serial/,
  });
  await assert.rejects(bad('serial,tag.a', `fresh-1,${'x'.repeat(257)}`), { message: /row 2: tag\.a/ });
  await assert.rejects(bad('serial', '"fresh-1'), { message: /row 2/ });
  assert.doesNotMatch(await gwe('device', 'export', 'p'), /fresh-1/);
});

test('a gateway is held with the reason, let go, and removed only when that is meant', async () => {
  await platform.addDevice('p', 'gw-9');
  assert.equal(await gwe('device', 'hold', 'p', 'gw-9', 'under repair'), 'gw-9: held: under repair\n');
  assert.match(await gwe('device', 'export', 'p', '--filter', 'held'), /gw-9,notactivated,,,under repair,/);
  assert.equal(await gwe('device', 'hold', 'p', 'gw-9', ''), 'gw-9: let go\n');
  await assert.rejects(gwe('device', 'remove', 'p', 'gw-9'), { code: 'USAGE_MISSING', message: /--yes/ });
  assert.equal(await gwe('device', 'remove', 'p', 'gw-9', '--yes'), 'gw-9 is removed\n');
  await assert.rejects(gwe('device', 'remove', 'p', 'gw-9', '--yes'), { message: /no such device/ });
});
