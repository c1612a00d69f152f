/** `make sandbox`, with commands in place of a person. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

/** Signs in as the page does, and prints what the platform answers: the roles, and that the password has to be changed. */
const SIGN_IN = `fetch(process.argv[1] + '/gwe/v2/login', {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ name: 'you', password: process.argv[2] }),
}).then(async (reply) => console.log('login', reply.status, await reply.text()))`;

const COMMANDS = [
  'gwe platform device list sandbox',
  'supervisorctl status',
  'gwe config get uuid',
  'gwe fleet rollout list sandbox',
  'gwe fleet status sandbox',
  'echo "at $HOME"',
  'exit 3',
];

test('a shell in which gwe finds a platform and three gateways, a rollout that fails, and nothing is left of it', async () => {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../demo/sandbox.ts')], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let said = '';
  let hasTyped = false;
  const type = (): void => {
    const [, url, password] =
      /(http:\S+)\/#\/sandbox\/fleet[\s\S]*: you, (\S+)\n[\s\S]*Leave with/.exec(said) ?? [];
    if (url === undefined || password === undefined || hasTyped) return;
    hasTyped = true;
    child.stdin.end([`'${process.execPath}' -e "${SIGN_IN}" ${url} '${password}'`, ...COMMANDS].join('\n'));
  };
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      type();
    });
  const status = await new Promise((resolve) => child.once('close', resolve));
  assert.equal(status, 3, said);
  assert.match(said, /^Leave with 'exit' or Ctrl-D/m);
  for (const serial of ['GW-0001', 'GW-0002', 'GW-0003'])
    assert.match(said, new RegExp(`^${serial} +activated `, 'm'));
  assert.match(said, /^gwe +RUNNING/m);
  assert.match(said, /^GW-0001$/m);
  assert.match(said, /^(?=.* lamp 1\b).* done\b/m);
  assert.match(said, /^(?=.* lamp 2\b).* held\b/m);
  assert.match(said, /^lamp: 1 on 3$/m);
  assert.match(said, /^login 20\d .*"mustChangePassword":true/m);
  const home = /^at (\S+)$/m.exec(said)?.[1] ?? '';
  assert.ok(home !== '' && !existsSync(home), home);
});
