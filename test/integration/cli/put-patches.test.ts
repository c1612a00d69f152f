/** `gwe platform content put` makes patches from the versions that the fleet runs, of what is in the content area. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPatchRig } from '../../helpers/patch-rig.ts';

test('patches from the versions that the fleet runs are made and uploaded with a tarball', async (t) => {
  const { put, ids } = await openPatchRig(t, ['1', '1', '2']);
  await put(1);
  const second = await put(2);
  assert.equal(second.stderr, '');
  assert.match(
    second.stdout,
    /^hello\.v2\.[0-9a-f]{8}-[0-9a-f]{8}\.patch of p: a patch from 1, saves .* on each of 2 gateways\n/,
  );
  const third = await put(3);
  assert.equal(third.stdout.match(/a patch from [12], saves/g)?.length, 2, third.stdout + third.stderr);
  assert.equal((await ids()).filter((id) => /^hello\.v3\..*\.patch$/.test(id)).length, 2);
});

test('a version that is not in the content area, and one by itself, go without; so does who wants none', async (t) => {
  const { put, ids } = await openPatchRig(t, ['0', '1']);
  await put(1);
  const run = await put(2);
  assert.match(run.stderr, /no patch from 0: it is not in the content area/);
  assert.match(run.stdout, /hello\.v2\.tar\.gz of p: \d+ bytes/);
  const before = (await ids()).length;
  assert.doesNotMatch((await put(3, '--without-patches')).stdout, /patch/);
  assert.equal((await ids()).length, before + 1);
});
