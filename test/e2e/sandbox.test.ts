/** `make sandbox`, with commands in place of a person. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

test('a shell in which gwe finds platform, gateway and supervisord, and nothing is left of it', async () => {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../demo/sandbox.ts')], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
  child.stdin.end(
    'gwe platform device list sandbox; supervisorctl status; gwe config get uuid; echo "at $HOME"; exit 3\n',
  );
  const status = await new Promise((resolve) => child.once('close', resolve));
  assert.equal(status, 3, said);
  assert.match(said, /^Leave with 'exit' or Ctrl-D/m);
  assert.match(said, /^GW-0001 +(not)?activated /m);
  assert.match(said, /^gwe +RUNNING/m);
  assert.match(said, /^GW-0001$/m);
  const home = /^at (\S+)$/m.exec(said)?.[1] ?? '';
  assert.ok(home !== '' && !existsSync(home), home);
});
