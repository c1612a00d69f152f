/** Patches that a worker of the platform makes: asked for at the upload and by rollouts, waited for, and final. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPatchRig, type PatchRig } from '../../helpers/patch-rig.ts';

// biome-ignore lint/suspicious/noExplicitAny: whatever the platform answers
async function ask({ platform }: PatchRig, path: string, body?: unknown): Promise<any> {
  const reply = await fetch(`${platform.url}/gwe/v2${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'X-Exosite-Token': platform.token },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return reply.json();
}

/** From now on there is a worker, which has nothing to do yet. */
const seeWorker = (rig: PatchRig): Promise<unknown> => ask(rig, '/patches/claim', { worker: 'w' });

const states = async (rig: PatchRig): Promise<string[]> =>
  // biome-ignore lint/suspicious/noExplicitAny: whatever the platform answers
  (await ask(rig, '/products/p/patches')).patches.map(({ from, state, reason }: any) =>
    [from, state, reason].join(' ').trim(),
  );

test('with a worker an upload leaves the patches to it, and the list says what they save', async (t) => {
  const rig = await openPatchRig(t, ['1', '1', '0']);
  await rig.put(1);
  await seeWorker(rig);
  const put = await rig.put(2);
  assert.match(put.stderr, /patches from 1 are left to the platform's workers/);
  assert.deepEqual(await states(rig), ['0 without it is not in the content area', '1 open']);
  const worked = await rig.gwe('platform', 'worker', '--once');
  assert.match(worked.stdout, /^a patch from 1 to hello 2 of p saves .* on each of 2 gateways\n$/);
  assert.equal((await rig.ids()).filter((id) => /^hello\.v2\..*\.patch$/.test(id)).length, 1);
  const listed = await rig.gwe('fleet', 'patch', 'list', 'p');
  assert.match(listed.stdout, /^APP +VERSION +FROM/);
  assert.match(listed.stdout, /hello +2 +1 +2 +made +\d/);
  assert.match(listed.stdout, /saved in all, (one worker|\d workers)\n$/);
  assert.equal((await rig.gwe('platform', 'worker', '--once')).stdout, '');
});

test('a rollout waits for its patches, begins with the last of them, and says which versions go without', async (t) => {
  const rig = await openPatchRig(t, ['1', '0']);
  await rig.put(1);
  await rig.put(2);
  await seeWorker(rig);
  const started = await rig.gwe('fleet', 'rollout', 'start', 'p', 'hello.v2.tar.gz', '--json');
  const { id, state, waitsFor, until, since }: Record<string, unknown> = JSON.parse(started.stdout);
  assert.deepEqual([state, waitsFor, until], ['preparing', 'its patches', Number(since) + 1800]);
  assert.match(
    (await rig.gwe('fleet', 'rollout', 'show', 'p', String(id))).stdout,
    /patch from 1 to hello 2: is being made/,
  );
  await rig.gwe('platform', 'worker', '--once');
  const shown = (await rig.gwe('fleet', 'rollout', 'show', 'p', String(id))).stdout;
  assert.match(shown, /running, wave 1/);
  assert.match(shown, /patch from 1 to hello 2: saves .* on each of 1 gateways/);
  assert.match(shown, /no patch from 0 to hello 2: it is not in the content area/);
});

test('paused while it waits, a rollout begins at once when it is resumed after they are made', async (t) => {
  const rig = await openPatchRig(t, ['1']);
  await rig.put(1);
  await rig.put(2);
  await seeWorker(rig);
  const { id } = JSON.parse(
    (await rig.gwe('fleet', 'rollout', 'start', 'p', 'hello.v2.tar.gz', '--json')).stdout,
  );
  await rig.gwe('fleet', 'rollout', 'pause', 'p', id);
  await rig.gwe('platform', 'worker', '--once');
  assert.match((await rig.gwe('fleet', 'rollout', 'show', 'p', id)).stdout, /paused, wave 1/);
  assert.match((await rig.gwe('fleet', 'rollout', 'resume', 'p', id)).stdout, /running, wave 1/);
});

test('an error is final for the pair, until one of its tarballs is another', async (t) => {
  const rig = await openPatchRig(t, ['1']);
  await rig.put(1);
  await seeWorker(rig);
  await rig.put(2);
  const worked = await rig.gwe('platform', 'worker', '--once', '--memory', '1');
  assert.match(worked.stderr, /no patch from 1 to hello 2 of p: it takes about .* of memory/);
  await ask(rig, '/products/p/patches', { artifact: 'hello.v2.tar.gz' });
  assert.match((await states(rig))[0] ?? '', /^1 without it takes about/);
  const { patches } = await ask(rig, '/products/p/patches');
  const again = await ask(rig, `/products/p/patches/${patches[0].id}/end`, { state: 'made' });
  assert.match(again.detail, /there is none, or it has ended/);
  await seeWorker(rig);
  await rig.put(2);
  assert.deepEqual(await states(rig), ['1 open']);
});

test('the role releaser is enough for an upload and for a worker', async (t) => {
  const rig = await openPatchRig(t, ['1']);
  await rig.put(1);
  await seeWorker(rig);
  const file = await rig.write(2);
  const put = await rig.asReleaser('platform', 'content', 'put', 'p', file, '--meta', 'of ann');
  assert.match(put.stderr, /patches from 1 are left to the platform's workers/);
  const worked = await rig.asReleaser('platform', 'worker', '--once');
  assert.match(worked.stdout, /^a patch from 1 to hello 2 of p saves .* on each of 1 gateways\n$/);
  const { content } = await ask(rig, '/products/p/content');
  const metas = content.map(({ id, meta }: Record<string, string>) => `${id}: ${meta}`).join('\n');
  assert.match(metas, /^hello\.v2\.tar\.gz: of ann SHA256:[0-9a-f]{64} MANIFEST-SHA256:[0-9a-f]{64}$/m);
  assert.match(metas, /^hello\.v2\.\w+-\w+\.patch: SHA256:[0-9a-f]{64}$/m);
});
