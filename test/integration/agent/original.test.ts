/** Sentences of the original's documents (test/original.md) that no other test holds. */
import assert from 'node:assert/strict';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { VERSION } from '../../../src/base/version.ts';
import { createCommandLine } from '../../helpers/command-line.ts';
import { FROM_SOURCE } from '../../helpers/gateway.ts';
import { httpAnswer, startRawServer } from '../../helpers/raw-server.ts';
import { runGwe } from '../../helpers/run-gwe.ts';
import { makeTarball } from '../../helpers/tarball.ts';

test('install.sh runs in the directory of its version, without arguments, as the user of gwe', (t) => {
  const line = createCommandLine();
  t.after(() => line.remove());
  const script = '#!/bin/sh\necho "$# $(id -u) $(pwd -P)"\ncat beside\n';
  const path = line.file(
    'app.v1.tar.gz',
    makeTarball({ 'install.sh': script, beside: 'a file of the app\n' }),
  );
  const { installs } = line.json('-I', path, '--json') as { installs: { output: string }[] };
  const [first = '', second] = installs[0]?.output.split('\n') ?? [];
  const root = realpathSync(line.root);
  assert.match(first, new RegExp(`^0 ${process.getuid?.()} ${root}/opt/gwe/apps/app/1-[0-9a-f]{8}$`));
  assert.equal(second, 'a file of the app');
});

test('the User-Agent is that of the original with the version, unless -a sets another', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'gwe-agent-'));
  const server = await startRawServer((socket) => void socket.end(httpAnswer('404 Not Found')));
  t.after(async () => {
    await server.close();
    rmSync(root, { recursive: true });
  });
  const gwe = (...args: string[]) => runGwe([...FROM_SOURCE, ...args], { GWE_ROOT: root, HOME: root });
  await gwe('-P', 'p', '-u', 's', '--set-platform-url', server.url);
  await gwe('--once');
  await gwe('-a', 'Mine/1', '--once');
  await gwe('-a', "''", '--once');
  const agents = server.requests.map(({ head }) => /^user-agent: (.*?)\r?$/im.exec(head)?.[1]);
  const usual = `GatewayEngine-v${VERSION}`;
  assert.deepEqual([...new Set(agents)], [usual, 'Mine/1']);
  assert.equal(agents.at(-1), usual);
});
