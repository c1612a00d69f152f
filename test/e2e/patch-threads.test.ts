/** The executable has no file that a thread could start from: it brings the program of its threads along. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makePairPatch } from '../../src/artifact/patch/pair.ts';
import { EXECUTABLE } from '../helpers/gateway.ts';
import { makeIndexed } from '../helpers/indexed.ts';

test('the executable makes the same patch on all cores as the sources do on one', async (t) => {
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-patch-threads-'));
  t.after(() => rmSync(scratch, { recursive: true, force: true }));
  const program = createHash('shake256', { outputLength: 5e6 }).update('a program').digest();
  const rebuilt = Buffer.from(program);
  for (let at = 50; at < rebuilt.length; at += 1000) rebuilt[at] = (rebuilt[at] ?? 0) + 7;
  const write = async (version: string, content: Buffer): Promise<string> => {
    const file = join(scratch, `app.v${version}.tar.gz`);
    const entries = { 'install.sh': '#!/bin/sh\nexit 0\n', program: { content, mode: 0o755 } };
    writeFileSync(file, await makeIndexed({ name: 'app', version }, entries));
    return file;
  };
  const [old, next] = [await write('1', program), await write('2', rebuilt)];
  const [bySources, byExecutable] = [join(scratch, 'sources'), join(scratch, 'executable')];
  const { signal } = new AbortController();
  let aloneBytes = 0;
  await makePairPatch(old, next, {
    output: bySources,
    signal,
    onPlan: ({ memoryBytes }) => {
      aloneBytes = memoryBytes;
    },
  });
  const { status, stderr } = spawnSync(EXECUTABLE, ['patch', old, next, '-o', byExecutable], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  // What it takes for its threads is told beforehand.
  const toldMb = Number(/takes about (\d+) MB of memory/.exec(stderr)?.[1]);
  if (availableParallelism() > 1) assert.ok(toldMb * 1e6 > aloneBytes + 50e6, stderr);
  assert.ok(readFileSync(byExecutable).equals(readFileSync(bySources)));
});
