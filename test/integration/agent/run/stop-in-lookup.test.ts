/** A stop while the name server says nothing: the runtime itself would wait for it. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe } from 'node:test';
import { asRoot } from '../../../helpers/as-root.ts';
import { FROM_SOURCE } from '../../../helpers/gateway.ts';

/** Of its own, so that no name server of this machine is in the way. */
const SILENT = '127.77.0.53';
const LOOKUP_S = 60;
const test = asRoot(import.meta.filename);

function ended(child: ChildProcess): Promise<[code: number | null, signal: string | null]> {
  return new Promise((resolve) => child.once('close', (code, signal) => resolve([code, signal])));
}

describe('while a name is looked up', () => {
  test('SIGTERM ends gwe at once, with the status of a stop', async () => {
    const root = mkdtempSync(join(tmpdir(), 'gwe-lookup-'));
    const server = createSocket('udp4');
    const asked = new Promise((resolve) => server.once('message', resolve));
    await new Promise<void>((resolve) => server.bind(53, SILENT, resolve));
    const resolver = join(root, 'resolv.conf');
    writeFileSync(resolver, `nameserver ${SILENT}\noptions timeout:${LOOKUP_S} attempts:1\n`);
    const [program = '', ...first] = FROM_SOURCE;
    const env = { PATH: process.env.PATH ?? '', GWE_ROOT: root };
    execFileSync(
      program,
      [...first, '-P', 'p1', '-u', 'gw-1', '--set-platform-url', 'https://far.example.org'],
      {
        env,
      },
    );
    const script = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"';
    const agent = spawn('unshare', ['-m', 'sh', '-c', script, 'sh', resolver, program, ...first], {
      env,
      stdio: 'ignore',
    });
    const end = ended(agent);
    await asked;
    const startedMs = performance.now();
    agent.kill('SIGTERM');
    assert.deepEqual(await end, [0, null]);
    // Two seconds on a machine with nothing else to do; the lookup would take a minute.
    assert.ok(performance.now() - startedMs < (LOOKUP_S * 1000) / 3);
    server.close();
    rmSync(root, { recursive: true, force: true });
  });
});
