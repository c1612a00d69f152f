/** `gwe fleet event tail --follow`: events as they come, over ends of the connection. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { encodeForm } from '../../../src/protocol/codec.ts';
import { startPlatform } from '../../helpers/platform.ts';
import { runPlatformCli } from '../../helpers/platform-cli.ts';
import { until } from '../../helpers/until.ts';

interface Following {
  stdout(): string;
  /** Interrupts it; resolves to its exit status and what it said on stderr. */
  stop(): Promise<{ status: number; stderr: string }>;
}

function follow(t: TestContext, target: { url: string; token: string }, ...options: string[]): Following {
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-follow-'));
  t.after(() => rmSync(scratch, { recursive: true }));
  const token = join(scratch, 'token');
  writeFileSync(token, target.token, { mode: 0o600 });
  const stopping = new AbortController();
  let stdout = '';
  const words = [
    'fleet',
    'event',
    'tail',
    'p',
    '--follow',
    ...options,
    '--url',
    target.url,
    '--token-file',
    token,
  ];
  const run = runPlatformCli(words, {
    signal: stopping.signal,
    onStdout: (text) => {
      stdout += text;
    },
  });
  run.catch(() => undefined);
  return {
    stdout: () => stdout,
    stop() {
      stopping.abort();
      return run;
    },
  };
}

test('events are printed as they come, from the one that is named on', async (t) => {
  const platform = await startPlatform();
  t.after(() => platform.close());
  await platform.addDevice('p', 'gw-1');
  const cik = await platform.activate('p', 'gw-1');
  const report = async (number: number): Promise<void> => {
    const status = { name: 'hello', version: '1', outcome: 'installed', tx: `t-0${number}` };
    await fetch(`${platform.url}/onep:v1/stack/alias`, {
      method: 'POST',
      headers: { 'X-Exosite-CIK': cik, 'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8' },
      body: encodeForm([['fetch_status', JSON.stringify(status)]]),
    });
  };
  await report(1);
  const text = follow(t, platform, '--after', '0');
  await until(() => text.stdout().split('\n').length === 2);
  await report(2);
  await until(() => text.stdout().split('\n').length === 3);
  for (const line of text.stdout().trimEnd().split('\n'))
    assert.match(line, /^\d+ {2}\d{4}-.* {2}gw-1 {2}update hello 1 {2}installed/);
  const [first] = text.stdout().split('  ');
  const json = follow(t, platform, '--after', String(first), '--json');
  await until(() => json.stdout().endsWith('}\n'));
  const { version, event } = JSON.parse(json.stdout());
  assert.deepEqual([version, event.serial, event.kind], [1, 'gw-1', 'update']);
  for (const one of [text, json]) assert.equal((await one.stop()).status, 0);
});

test('a connection that ends is made again, and goes on after the last event, also before there was one', async (t) => {
  const asked: unknown[] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers['last-event-id']);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const event = { id: 8, serial: 'gw-1', at: 1, kind: 'taken', app: '', version: '', text: 'caf\u00e9' };
    const bytes = Buffer.from(`id: 8\nevent: taken\ndata: ${JSON.stringify(event)}\n\n`);
    if (asked.length === 1) response.end('id: 7\nretry: 2000\n\n');
    else if (asked.length === 2) {
      // In the middle of a letter.
      const cut = bytes.indexOf(0xc3) + 1;
      response.write(bytes.subarray(0, cut), () => response.end(bytes.subarray(cut)));
    } else response.write(':\n\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const following = follow(t, { url: `http://127.0.0.1:${port}`, token: 'x'.repeat(16) });
  await until(() => asked.length === 3);
  assert.deepEqual(asked, [undefined, '7', '8']);
  assert.match(following.stdout(), /^8 {2}1970-01-01 00:00:01 {2}gw-1 {2}taken {2}caf\u00e9\n$/);
  assert.equal((await following.stop()).status, 0);
});

test('who may not read them hears it at once, and a table that does not end is refused', async (t) => {
  const platform = await startPlatform();
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-follow-'));
  t.after(async () => {
    rmSync(scratch, { recursive: true });
    await platform.close();
  });
  const token = join(scratch, 'token');
  writeFileSync(token, 'x'.repeat(16), { mode: 0o600 });
  const words = ['fleet', 'event', 'tail', 'p', '-f', '--url', platform.url, '--token-file', token];
  await assert.rejects(runPlatformCli(words), /it refused the token/);
  await assert.rejects(
    runPlatformCli([...words, '-o', 'csv']),
    /--follow and --output csv do not go together/,
  );
});
