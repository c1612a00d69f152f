/** gwe goes back to a version of itself by the same trust as to one of an app: signed by the keys of now, and unchanged. */
import assert from 'node:assert/strict';
import { mkdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createSelfEffects } from '../../../../src/agent/self/self-update.ts';
import { DEFAULT_LIMITS } from '../../../../src/artifact/limits.ts';
import { extractArtifact } from '../../../../src/artifact/unpack/extract.ts';
import { GweError } from '../../../../src/base/errors.ts';
import { removeFileDurable } from '../../../../src/base/fs.ts';
import { keepAsPrevious } from '../../../../src/service/previous.ts';
import { digestText } from '../../../../src/store/command.ts';
import { appDirectory, currentLink, versionDirectory } from '../../../../src/store/layout.ts';
import { agentParts, transactionOf } from '../../../helpers/agent-parts.ts';
import { makeIndexed, newKey } from '../../../helpers/indexed.ts';

const alice = newKey();
const signal = new AbortController().signal;
const record = (): void => undefined;
const NEW = { app: 'gwe', version: '3', digest: '3'.repeat(64) };

/** gwe 3 has come to no check-in, and `before` is what it was put in the place of; alice's key is trusted. */
function failed(t: TestContext) {
  const { context, layout } = agentParts(t);
  const key = join(layout.keysDirectory, 'alice.pub');
  for (const directory of [layout.keysDirectory, layout.stateDirectory, appDirectory(layout, 'gwe')])
    mkdirSync(directory, { recursive: true });
  writeFileSync(key, alice.publicKey);
  symlinkSync('3-33333333', currentLink(layout, 'gwe'));
  const { previous: _none, ...transaction } = transactionOf(NEW);
  const goBack = () =>
    createSelfEffects(context)['rolling-back']({ transaction: { ...transaction, ...NEW }, signal, record });
  return { context, layout, key, goBack, current: () => readlinkSync(currentLink(layout, 'gwe')) };
}

/** The way back is gwe 2, signed by alice and installed over the air. */
async function signedBefore(t: TestContext) {
  const parts = failed(t);
  const { layout, context } = parts;
  const script = { content: '#!/bin/sh\n', mode: 0o755 };
  const file = join(layout.root, 'gwe.v2.tar.gz');
  writeFileSync(
    file,
    await makeIndexed({ name: 'gwe', version: '2' }, { 'install.sh': script, gwe: 'ELF' }, [alice]),
  );
  const { digest } = await extractArtifact(file, join(layout.root, 'staged'), { limits: DEFAULT_LIMITS });
  const directory = versionDirectory(layout, 'gwe', { version: '2', digest });
  await extractArtifact(file, directory, { limits: DEFAULT_LIMITS });
  const active = { version: '2', digest, contentId: 'gwe.v2.tar.gz', hasProgram: false, installedAtMs: 0 };
  context.installed.set('gwe', { active, refused: [] });
  keepAsPrevious(layout, basename(directory));
  return { ...parts, directory };
}

/** The way back is what 'gwe service install' has copied. */
function placedBefore(t: TestContext) {
  const parts = failed(t);
  const digest = digestText('ELF');
  const directory = versionDirectory(parts.layout, 'gwe', { version: '2', digest });
  mkdirSync(directory);
  writeFileSync(join(directory, 'gwe'), 'ELF');
  keepAsPrevious(parts.layout, basename(directory));
  return { ...parts, directory };
}

const refusesWith = (goBack: () => Promise<unknown>, code: string): Promise<void> =>
  assert.rejects(goBack, (error) => error instanceof GweError && error.code === code);

test('gwe goes back to a version of itself that is signed and unchanged', async (t) => {
  const { goBack, current, directory } = await signedBefore(t);
  assert.deepEqual(await goBack(), { event: 'done' });
  assert.equal(current(), basename(directory));
});

test('gwe does not go back to a version of itself that was changed', async (t) => {
  const { goBack, current, directory } = await signedBefore(t);
  writeFileSync(join(directory, 'gwe'), 'elf');
  await refusesWith(goBack, 'ARTIFACT_MANIFEST');
  assert.equal(current(), '3-33333333');
});

test('gwe does not go back to a version of itself whose key is trusted no more', async (t) => {
  const { goBack, current, key } = await signedBefore(t);
  writeFileSync(key.replace('alice', 'bob'), newKey().publicKey);
  removeFileDurable(key);
  await refusesWith(goBack, 'ARTIFACT_UNTRUSTED');
  assert.equal(current(), '3-33333333');
});

test('without keys gwe goes back to what there is, and the report says that it was changed', async (t) => {
  const { goBack, current, directory, key } = await signedBefore(t);
  removeFileDurable(key);
  writeFileSync(join(directory, 'gwe'), 'elf');
  assert.match(JSON.stringify(await goBack()), /'gwe' is not what it was/);
  assert.equal(current(), basename(directory));
});

test('what root has put in place without a manifest can be rolled back to while unchanged', async (t) => {
  const { goBack, current, directory } = placedBefore(t);
  assert.deepEqual(await goBack(), { event: 'done' });
  assert.equal(current(), basename(directory));
});

test('what root has put in place is not rolled back to once it has changed', async (t) => {
  const { goBack, current, directory } = placedBefore(t);
  writeFileSync(join(directory, 'gwe'), 'elf');
  await refusesWith(goBack, 'ARTIFACT_UNTRUSTED');
  assert.equal(current(), '3-33333333');
});

test('a version of gwe that never checked in does not take the place of the one to go back to', async (t) => {
  const { layout, context } = await signedBefore(t);
  const previous = readlinkSync(join(appDirectory(layout, 'gwe'), 'previous'));
  const next = { app: 'gwe', version: '4', digest: '4'.repeat(64) };
  const transaction = { ...transactionOf(next), ...next };
  await createSelfEffects(context).activating({ transaction, signal, record });
  assert.equal(readlinkSync(currentLink(layout, 'gwe')), '4-44444444');
  assert.equal(readlinkSync(join(appDirectory(layout, 'gwe'), 'previous')), previous);
});
