/**
 * What an update by a patch may cost in memory does not depend on its size. By default the app is a tenth of what
 * the promise is about; GWE_MEMORY=full takes all of it.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { makePairPatch } from '../../src/artifact/patch/pair.ts';
import { createGateway, EXECUTABLE } from '../helpers/gateway.ts';
import { makeIndexed } from '../helpers/indexed.ts';
import { startPlatform } from '../helpers/platform.ts';
import { watchProcess } from '../helpers/process-watch.ts';

const MIB = 2 ** 20;
const APP_MIB = process.env.GWE_MEMORY === 'full' ? 200 : 20;
const MOST_MIB = 32;

/** As a compiler leaves it: a byte here and there is another, all over. */
function rebuild(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  let next = 1;
  for (let at = 50; at < copy.length; at += 40 + (next % 120)) {
    next = (next * 16_807) % 2_147_483_647;
    copy[at] = (copy[at] ?? 0) + 1 + (next % 251);
  }
  return copy;
}

test(`an update of ${APP_MIB} MiB by a patch takes less than ${MOST_MIB} MiB of anonymous memory`, async (t) => {
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-patch-memory-'));
  t.after(() => rmSync(scratch, { recursive: true, force: true }));
  const program = randomBytes(APP_MIB * MIB);
  const write = async (version: string, content: Buffer): Promise<string> => {
    const file = join(scratch, `big.v${version}.tar.gz`);
    const entries = { 'install.sh': '#!/bin/sh\nexit 0\n', program: { content, mode: 0o755 } };
    writeFileSync(file, await makeIndexed({ name: 'big', version }, entries));
    return file;
  };
  const old = await write('1', program);
  const next = await write('2', rebuild(program));
  const { signal } = new AbortController();
  const { file: patch = '', fullBytes } = await makePairPatch(old, next, { signal });
  const platform = await startPlatform({});
  t.after(() => platform.close());
  for (const file of [old, patch, next])
    await platform.putContent('p1', basename(file), readFileSync(file), '');
  const gateway = await createGateway(platform, { command: [EXECUTABLE], serial: 'patched' });
  t.after(() => gateway.remove());
  gateway.start();
  await gateway.command(platform, '{"install": [{"name": "big.v1.tar.gz"}]}', 300_000);
  const watch = watchProcess(gateway.pid());
  const report = await gateway.command(platform, '{"install": [{"name": "big.v2.tar.gz"}]}', 300_000);
  const { peakBytes, samples } = await watch.stop();
  assert.match(JSON.stringify(report), /by a patch from 1: /);
  const fetched = /by a patch from 1: (\d+) bytes/.exec(JSON.stringify(report))?.[1];
  t.diagnostic(`${(peakBytes / MIB).toFixed(1)} MiB at most; ${fetched} bytes fetched of ${fullBytes}`);
  assert.ok(samples > 20, `${samples} samples`);
  assert.ok(peakBytes < MOST_MIB * MIB, `${(peakBytes / MIB).toFixed(1)} MiB`);
});
