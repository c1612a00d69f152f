import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { type MakeOptions, makePatch, planPatch } from '../../../../src/artifact/patch/make.ts';
import type { PoolPlan } from '../../../../src/artifact/patch/workers.ts';
import { applyPatch, makeSide } from '../../../helpers/patch-tarball.ts';

const THREAD = new URL('../../../../src/artifact/patch/thread.ts', import.meta.url);
const MIB = 2 ** 20;

/** Bytes without a pattern. */
function noise(sizeBytes: number): Buffer {
  return createHash('shake256', { outputLength: sizeBytes }).update('a program').digest();
}

/** As a compiler leaves it: longer here and there, and other numbers all over. */
function rebuilt(bytes: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 700_001) pieces.push(bytes.subarray(at, at + 700_001), noise(48));
  const copy = Buffer.concat(pieces);
  for (let at = 50; at < copy.length; at += 100) copy[at] = (copy[at] ?? 0) + 7;
  return copy;
}

const script = Buffer.from('#!/bin/sh\n');
// More than the 4 MiB that a thread has at work at once.
const program = noise(5 * MIB);
const old = makeSide({ 'bin/program': program, 'install.sh': script });
const next = makeSide({ 'bin/program': rebuilt(program), 'install.sh': script });

async function patchBy(pool: PoolPlan, options: MakeOptions = {}): Promise<Buffer> {
  const { bytes } = await makePatch(old, next, { ...planPatch(old, next), pool }, options);
  return bytes;
}

describe('a pool', () => {
  test('makes the same patch with any number of threads', async () => {
    const alone = await patchBy({ threads: 0, program: '' });
    const made = applyPatch(alone, old.body, next.manifest);
    assert.equal(made.size, planPatch(old, next).missing.length);
    assert.ok(alone.length < program.length / 50, `${alone.length} bytes`);
    for (const threads of [2, 3]) {
      const patch = await patchBy({ threads, program: THREAD });
      assert.ok(patch.equals(alone), `${threads} threads`);
    }
  });

  test('follows a place that has moved from one stretch of work into the next, where no seed tells of it', async () => {
    // One byte in 8 is another, all are further on by 100, and only the first 10,000 have seeds to see it by.
    const changed = Buffer.from(program);
    for (let at = 10_000; at < changed.length; at += 8) changed[at] = (changed[at] ?? 0) + 7;
    const moved = Buffer.concat([changed.subarray(0, 2000), noise(100), changed.subarray(2000)]);
    const side = makeSide({ 'bin/program': moved, 'install.sh': script });
    const { bytes } = await makePatch(old, side, planPatch(old, side));
    assert.ok(bytes.length < 50_000, `${bytes.length} bytes`);
  });

  test('tells how far it is, from none to all', async () => {
    const seen: number[] = [];
    const onProgress = (done: number, total: number): void => void seen.push(done / total);
    await patchBy({ threads: 2, program: THREAD }, { onProgress });
    assert.ok(seen.length > 4, `${seen.length} times`);
    assert.deepEqual(
      seen.toSorted((a, b) => a - b),
      seen,
    );
    assert.equal(seen.at(-1), 1);
  });

  test('fails with the reason for which a thread has ended', async () => {
    const pool = { threads: 2, program: "throw new Error('no room for it')" };
    await assert.rejects(patchBy(pool), { code: 'ARTIFACT_PATCH', message: /has ended \(.*no room for it/ });
    const silent = { threads: 2, program: 'process.exit(3)' };
    await assert.rejects(patchBy(silent), { code: 'ARTIFACT_PATCH', message: /has ended \(status 3\)/ });
  });

  test('stops when it is told to, whatever its threads do', async () => {
    const stop = new AbortController();
    const busy = { threads: 2, program: 'for (;;);' };
    const patch = patchBy(busy, { signal: stop.signal });
    stop.abort();
    await assert.rejects(patch, { code: 'CANCELLED' });
    await assert.rejects(patchBy(busy, { signal: AbortSignal.abort() }), { code: 'CANCELLED' });
  });
});
