/** Nothing goes into an executable that is not, byte for byte, what it is pinned to or what the caller said. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { create } from 'tar';
import { keptRuntime, shippedRuntime } from '../../../src/packaging/runtimes.mjs';

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-runtimes-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

/** A registry with one small runtime; `fetched` counts. */
async function registry(t: TestContext) {
  const directory = scratch(t);
  mkdirSync(join(directory, 'package/bin'), { recursive: true });
  writeFileSync(join(directory, 'package/bin/node'), 'the runtime');
  writeFileSync(join(directory, 'package/LICENSE'), 'free');
  const archive = join(directory, 'archive.tgz');
  await create({ file: archive, cwd: directory, gzip: true }, ['package']);
  const integrity = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
  const pin = { package: 'node-test', version: '1.2.3', integrity };
  const calls: string[] = [];
  const fetch = (_pin: unknown, work: string): void => {
    calls.push(work);
    copyFileSync(archive, join(work, 'node-test-1.2.3.tgz'));
  };
  return { pin, fetch, calls, cache: join(directory, 'cache') };
}

test('a cached runtime is used again, and fetched again when one byte of it has changed', async (t) => {
  const { pin, fetch, calls, cache } = await registry(t);
  const node = await keptRuntime(pin, cache, fetch);
  assert.equal(readFileSync(node, 'utf8'), 'the runtime');
  await keptRuntime(pin, cache, fetch);
  assert.equal(calls.length, 1);
  writeFileSync(node, 'the runtimE');
  assert.equal(await keptRuntime(pin, cache, fetch), node);
  assert.equal(calls.length, 2);
  assert.equal(readFileSync(node, 'utf8'), 'the runtime');
});

test('a cached runtime whose marker is gone, or of another pin, is fetched again', async (t) => {
  const { pin, fetch, calls, cache } = await registry(t);
  const node = await keptRuntime(pin, cache, fetch);
  const marker = join(node, '../../.integrity');
  for (const text of ['', `${pin.integrity}\n`, `sha512-x\n${'0'.repeat(64)}\n`]) {
    writeFileSync(marker, text);
    await keptRuntime(pin, cache, fetch);
  }
  assert.equal(calls.length, 4);
});

test('an archive of another integrity is refused, and nothing of it is kept', async (t) => {
  const { pin, fetch, cache } = await registry(t);
  const other = { ...pin, integrity: 'sha512-other' };
  await assert.rejects(keptRuntime(other, cache, fetch), /expected sha512-other/);
  await assert.rejects(keptRuntime(other, cache, fetch), /expected sha512-other/);
});

test("the caller's own runtime is run only with the sha256 that the caller gives", async (t) => {
  const ran = join(scratch(t), 'ran');
  const node = join(scratch(t), 'node');
  writeFileSync(node, `#!/bin/sh\ntouch '${ran}'\necho v24.99.0\n`);
  chmodSync(node, 0o755);
  const target = `linux-${process.arch}`;
  const variable = `GWE_RUNTIME_LINUX_${process.arch.toUpperCase()}`;
  t.after(() => {
    delete process.env[variable];
    delete process.env[`${variable}_SHA256`];
  });
  process.env[variable] = node;
  process.env[`${variable}_SHA256`] = '0'.repeat(64);
  await assert.rejects(shippedRuntime(target), /expected 0{64} \(GWE_RUNTIME_LINUX_[A-Z0-9]+_SHA256\)/);
  assert.throws(() => readFileSync(ran), 'it was not run');
  process.env[`${variable}_SHA256`] = createHash('sha256').update(readFileSync(node)).digest('hex');
  assert.deepEqual(await shippedRuntime(target), { path: node, version: '24.99.0' });
});
