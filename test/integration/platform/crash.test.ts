import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import * as http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { httpRequest } from '../../helpers/http-request.ts';
import { operatorCalls } from '../../helpers/platform.ts';
import { until } from '../../helpers/until.ts';

const CHILD = fileURLToPath(new URL('../../helpers/platform-child.ts', import.meta.url));
const TOKEN = 'crash-token-0123456789';

interface Started {
  url: string;
  child: ChildProcess;
  operator: ReturnType<typeof operatorCalls>;
  /** SIGKILL, and waits for the end. */
  kill(): Promise<void>;
}

async function startChild(directory: string): Promise<Started> {
  const child = spawn(process.execPath, [CHILD, directory, TOKEN], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(child.stdout, 'data');
  const url = String(line).trim();
  return {
    url,
    child,
    operator: operatorCalls(url, TOKEN),
    async kill() {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Runs `body` on a fresh directory; every child is killed at the end. */
async function withDirectory(body: (start: () => Promise<Started>, directory: string) => Promise<void>) {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-platform-crash-'));
  const started: Started[] = [];
  try {
    await body(async () => {
      const fresh = await startChild(directory);
      started.push(fresh);
      return fresh;
    }, directory);
  } finally {
    for (const each of started) each.child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Begins an upload of 4 MiB and sends half of it. */
function sendHalf(url: string, method: string): http.ClientRequest {
  const request = http.request(url, {
    method,
    headers: { 'X-Exosite-Token': TOKEN, 'Content-Length': 4 * 1024 * 1024 },
  });
  request.on('error', () => undefined);
  request.write(Buffer.alloc(2 * 1024 * 1024, 1));
  return request;
}

function uploadedBytes(directory: string): number {
  const uploads = join(directory, 'uploads');
  return readdirSync(uploads).reduce((sum, name) => sum + statSync(join(uploads, name)).size, 0);
}

for (const [form, path, method] of [
  ['one-step', '/gwe/v1/products/P/content/half', 'PUT'],
  ['two-step', '/provision/manage/content/P/half', 'POST'],
] as const) {
  test(`killed in mid-upload (${form}), the finished upload is there and the half one is not`, () =>
    withDirectory(async (start, directory) => {
      const first = await start();
      await first.operator.addDevice('P', 'gw');
      const cik = await first.operator.activate('P', 'gw');
      await first.operator.putContent('P', 'whole', Buffer.from('whole content'));
      const headers = { 'X-Exosite-Token': TOKEN };
      if (method === 'POST') {
        const body = 'id=half&meta=';
        await httpRequest(`${first.url}/provision/manage/content/P/`, { method: 'POST', headers, body });
      }
      const request = sendHalf(first.url + path, method);
      await until(() => uploadedBytes(directory) > 1024 * 1024);
      await first.kill();
      request.destroy();
      assert.ok(uploadedBytes(directory) > 0, 'the crash left half an upload');

      const second = await start();
      assert.equal(uploadedBytes(directory), 0);
      const get = (id: string) =>
        httpRequest(`${second.url}/provision/download?id=${id}`, { headers: { 'X-Exosite-CIK': cik } });
      assert.equal((await get('whole')).body, 'whole content');
      assert.equal((await get('half')).status, 404);
      assert.equal((await get('half&info=true')).status, 404);
      const again = await httpRequest(second.url + path, { method, headers, body: 'all of it' });
      assert.ok([200, 205].includes(again.status), `upload after the crash: ${again.status}`);
      assert.equal((await get('half')).body, 'all of it');
    }));
}

test('killed in mid-replacement, the old content is whole', () =>
  withDirectory(async (start, directory) => {
    const first = await start();
    await first.operator.addDevice('P', 'gw');
    const cik = await first.operator.activate('P', 'gw');
    await first.operator.putContent('P', 'app', Buffer.from('old'));
    const request = sendHalf(`${first.url}/gwe/v1/products/P/content/app`, 'PUT');
    await until(() => uploadedBytes(directory) > 1024 * 1024);
    await first.kill();
    request.destroy();
    const second = await start();
    const headers = { 'X-Exosite-CIK': cik };
    assert.equal((await httpRequest(`${second.url}/provision/download?id=app`, { headers })).body, 'old');
  }));

test('killed in mid-write, what was acknowledged is there and no write is half there', () =>
  withDirectory(async (start) => {
    const first = await start();
    await first.operator.addDevice('P', 'gw');
    const cik = await first.operator.activate('P', 'gw');
    const headers = { 'X-Exosite-CIK': cik };
    let acknowledged = 0;
    const writing = (async () => {
      for (let n = 1; ; n++) {
        const body = `a=${n}&b=${n}`;
        const reply = await httpRequest(`${first.url}/onep:v1/stack/alias`, {
          method: 'POST',
          headers,
          body,
        });
        assert.equal(reply.status, 204);
        acknowledged = n;
      }
    })().catch((error: unknown) => {
      if (error instanceof assert.AssertionError) throw error;
    });
    await until(() => acknowledged >= 30);
    await first.kill();
    await writing;

    const second = await start();
    const reply = await httpRequest(`${second.url}/onep:v1/stack/alias?a&b`, { headers });
    const [, a, b] = /^a=(\d+)&b=(\d+)$/.exec(reply.body) ?? [];
    assert.equal(a, b);
    assert.ok(Number(a) >= acknowledged && Number(a) <= acknowledged + 1, `${a} after ${acknowledged}`);
    const values = (await second.operator.history('P', 'gw', 'a')).map((entry) => Number(entry.value));
    assert.deepEqual(
      values,
      Array.from({ length: Number(a) }, (_, index) => Number(a) - index),
    );
  }));

test('a blob that no row refers to is removed at the start', () =>
  withDirectory(async (start, directory) => {
    const first = await start();
    await first.operator.putContent('P', 'kept', Buffer.from('kept'));
    await first.kill();
    const orphan = join(directory, 'content', '0'.repeat(32));
    writeFileSync(orphan, 'renamed, but never committed');
    await start();
    const left = readdirSync(join(directory, 'content'));
    assert.equal(left.length, 1);
    assert.notEqual(join(directory, 'content', left[0] ?? ''), orphan);
  }));
