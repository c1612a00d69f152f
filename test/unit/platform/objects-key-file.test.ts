/** Files with the keys of an object store, as other programs leave them. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { objectsOf } from '../../../src/cli/platform/platform-objects.ts';

const home = mkdtempSync(join(tmpdir(), 'gwe-keys-'));
after(() => rmSync(home, { recursive: true, force: true }));

function keysIn(text: string): string {
  const path = join(home, 'keys');
  writeFileSync(path, text, { mode: 0o600 });
  const given: Record<string, string> = {
    objects: 's3://bucket',
    database: 'postgres://h/d',
    'objects-key-file': path,
  };
  const options = {
    has: (name: string) => name in given,
    text: (name: string) => given[name],
    list: () => [],
  };
  const io = { env: {}, stdout: () => undefined, stderr: () => undefined };
  const found = objectsOf({ options, io, positionals: [] } as unknown as Parameters<typeof objectsOf>[0]);
  return `${found?.keyId} ${found?.secretKey}`;
}

const PAIR = 'aws_access_key_id = ID\naws_secret_access_key = SECRET+/=\n';

test('keys are found in lines that end in either way, quoted, exported, and with a mark at the beginning', () => {
  for (const text of [
    PAIR,
    PAIR.replaceAll('\n', '\r\n'),
    `\ufeff${PAIR}`,
    'export AWS_ACCESS_KEY_ID="ID"\nAWS_SECRET_ACCESS_KEY=\'SECRET+/=\'\n',
    `# mine\n[default]\nregion = eu\n${PAIR}`,
  ])
    assert.equal(keysIn(text), 'ID SECRET+/=', JSON.stringify(text));
});

test('of a file with several accounts, the keys of another than [default] are never taken', () => {
  const other = PAIR.replaceAll('ID', 'THEIRS').replaceAll('SECRET', 'NOT');
  assert.equal(keysIn(`[default]\n${PAIR}\n[other]\n${other}`), 'ID SECRET+/=');
  assert.equal(keysIn(`[other]\r\n${other}\r\n[default]\r\n${PAIR}`), 'ID SECRET+/=');
  assert.throws(() => keysIn(`[other]\n${other}`), { code: 'USAGE_MISSING', message: /in \[default\]/ });
});
