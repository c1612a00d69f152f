/** Lists of rollouts and targets: a table for people, CSV and JSON for programs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPatchRig } from '../../helpers/patch-rig.ts';

test('rollouts are a table: how far each is, and what it waits for', async (t) => {
  const rig = await openPatchRig(t, ['1']);
  await rig.put(1);
  await rig.put(2, '--without-patches');
  const started = await rig.gwe(
    'fleet',
    'rollout',
    'start',
    'p',
    'hello.v2.tar.gz',
    '--name',
    'spring',
    '--json',
  );
  const { id } = JSON.parse(started.stdout);
  const [heading, row, ...rest] = (await rig.gwe('fleet', 'rollout', 'list', 'p')).stdout
    .trimEnd()
    .split('\n');
  assert.match(heading ?? '', /^ROLLOUT +STATE +WAVE +OK +FAILED +SILENT +UNTIL \(UTC\) +NAME +WAITS FOR$/);
  assert.match(
    row ?? '',
    new RegExp(`^${id} +running +1/4 +0 +0 +0 +\\d{4}-.* +spring +1 gateways of wave 1 to read`),
  );
  assert.deepEqual(rest, []);
  const csv = (await rig.gwe('fleet', 'rollout', 'list', 'p', '-o', 'csv')).stdout;
  assert.match(csv, new RegExp(`^id,name,state,.*\n${id},spring,running,1,`));
  const json = JSON.parse((await rig.gwe('fleet', 'rollout', 'list', 'p', '-o', 'json')).stdout);
  assert.deepEqual([json.rollouts.length, json.rollouts[0].id], [1, id]);
});

test('targets are a table: who gets notices, and what could not be sent', async (t) => {
  const rig = await openPatchRig(t, []);
  const added = await rig.gwe(
    'fleet',
    'target',
    'add',
    'https://hooks.example.org/x',
    '--on',
    'silent,decision',
    '--json',
  );
  const { id } = JSON.parse(added.stdout);
  const [heading, row] = (await rig.gwe('fleet', 'target', 'list')).stdout.trimEnd().split('\n');
  assert.match(heading ?? '', /^TARGET +URL +PRODUCT +OF +SENT +WAITING +GIVEN UP +LAST ERROR$/);
  assert.match(
    row ?? '',
    new RegExp(`^${id} +https://hooks\\.example\\.org/x +all +silent,decision +0 +0 +0$`),
  );
  const csv = (await rig.gwe('fleet', 'target', 'list', '-o', 'csv')).stdout;
  assert.match(csv, new RegExp(`^id,url,product,kinds,.*\n${id},https:`));
});
