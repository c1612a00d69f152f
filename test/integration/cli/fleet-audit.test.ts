/** `gwe fleet audit verify` against a platform whose database somebody has edited. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { FROM_SOURCE } from '../../helpers/gateway.ts';
import { startPlatform } from '../../helpers/platform.ts';
import { removeRoot } from '../../helpers/remove-root.ts';

test('an audit is whole until an entry is changed, removed or moved', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-audit-'));
  t.after(() => removeRoot(directory));
  const dir = join(directory, 'platform');
  const tokenFile = join(directory, 'token');
  const run = async (...words: string[]): Promise<string> => {
    const platform = await startPlatform({ dir });
    writeFileSync(tokenFile, platform.token, { mode: 0o600 });
    try {
      if (words[1] === 'device') await platform.addDevice('p', 'gw-1');
      const options = ['--url', platform.url, '--token-file', tokenFile];
      const [program = '', ...first] = FROM_SOURCE;
      const { stdout } = await promisify(execFile)(program, [...first, ...words, ...options]);
      return stdout;
    } finally {
      await platform.close();
    }
  };
  const edit = (sql: string): void => {
    const database = new DatabaseSync(join(dir, 'platform.db'));
    database.exec(sql);
    database.close();
  };
  for (const site of ['berlin', 'rome', 'oslo'])
    await run('fleet', 'device', 'tag', 'p', 'gw-1', `site=${site}`);
  const whole = await run('fleet', 'audit', 'verify');
  const [, head = ''] = /^3 entries are whole; the last is (3:[0-9a-f]{64})\n$/.exec(whole) ?? [];
  assert.notEqual(head, '');
  edit("UPDATE fleet_audit SET actor = 'eve' WHERE number = 2");
  await assert.rejects(run('fleet', 'audit', 'verify'), /entry 2 is changed/);
  edit("UPDATE fleet_audit SET actor = 'admin-token' WHERE number = 2");
  assert.equal(await run('fleet', 'audit', 'verify', '--head', head), whole);
  edit(
    'UPDATE fleet_audit SET number = 9 WHERE number = 1; UPDATE fleet_audit SET number = 1 WHERE number = 2; UPDATE fleet_audit SET number = 2 WHERE number = 9',
  );
  await assert.rejects(run('fleet', 'audit', 'verify'), /entry 1 is changed/);
  edit(
    'UPDATE fleet_audit SET number = 9 WHERE number = 1; UPDATE fleet_audit SET number = 1 WHERE number = 2; UPDATE fleet_audit SET number = 2 WHERE number = 9',
  );
  edit('DELETE FROM fleet_audit WHERE number = 3');
  assert.match(await run('fleet', 'audit', 'verify'), /^2 entries are whole/);
  await assert.rejects(run('fleet', 'audit', 'verify', '--head', head), /entry 3 is missing/);
});
