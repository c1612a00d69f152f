/** While an update waits the world goes on: what is installed, or rolled back to, is checked again right before. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createActivateEffects } from '../../../../src/agent/effects/activate.ts';
import { DEFAULT_LIMITS } from '../../../../src/artifact/limits.ts';
import { extractArtifact } from '../../../../src/artifact/unpack/extract.ts';
import { GweError, wrapError } from '../../../../src/base/errors.ts';
import { removeFileDurable } from '../../../../src/base/fs.ts';
import { versionDirectory } from '../../../../src/store/layout.ts';
import { agentParts, transactionOf } from '../../../helpers/agent-parts.ts';
import { makeIndexed, newKey } from '../../../helpers/indexed.ts';

const alice = newKey();
const signal = new AbortController().signal;
const record = (): void => undefined;

/** Version 2 of a one-off is unpacked on a gateway that trusts alice, and waits to be installed. */
async function waiting(t: TestContext) {
  const { context, layout, events } = agentParts(t);
  const key = join(layout.keysDirectory, 'alice.pub');
  const marker = join(layout.root, 'ran');
  for (const directory of [layout.keysDirectory, layout.stateDirectory])
    mkdirSync(directory, { recursive: true });
  writeFileSync(key, alice.publicKey);
  const script = { content: `#!/bin/sh\ntouch ${marker}\n`, mode: 0o755 };
  const file = join(layout.root, 'app.v2.tar.gz');
  writeFileSync(
    file,
    await makeIndexed({ name: 'app', version: '2' }, { 'install.sh': script, data: 'd' }, [alice]),
  );
  const staged = join(layout.root, 'staged');
  const { digest } = await extractArtifact(file, staged, { limits: DEFAULT_LIMITS });
  const directory = versionDirectory(layout, 'app', { version: '2', digest });
  await extractArtifact(file, directory, { limits: DEFAULT_LIMITS });
  const effects = createActivateEffects(context);
  const version = { version: '2', digest, contentId: 'app.v2.tar.gz', hasProgram: false, installedAtMs: 0 };
  return { effects, key, marker, directory, digest, version, events };
}

const rejects = (update: Promise<unknown>, code: string): Promise<void> =>
  assert.rejects(update, (error) => error instanceof GweError && error.code === code);

test('a file that was changed after the checks is found before install.sh runs, and is closed to others', async (t) => {
  const { effects, directory, digest, marker, events } = await waiting(t);
  chmodSync(join(directory, 'install.sh'), 0o777);
  writeFileSync(join(directory, 'install.sh'), `#!/bin/sh\ntouch ${marker} # evil\n`);
  const { previous: _none, ...transaction } = transactionOf({ digest, hasProgram: false });
  await rejects(
    effects.installing({ transaction: { ...transaction, digest }, signal, record }),
    'ARTIFACT_MANIFEST',
  );
  assert.equal(existsSync(marker), false);
  assert.equal(statSync(join(directory, 'install.sh')).mode & 0o777, 0o755);
  assert.deepEqual(events, ['trust.tightened']);
});

test('a key that was removed after the checks vouches for nothing when install.sh is to run', async (t) => {
  const { effects, key, digest, marker } = await waiting(t);
  writeFileSync(key.replace('alice', 'bob'), newKey().publicKey);
  removeFileDurable(key);
  const { previous: _none, ...transaction } = transactionOf({ digest, hasProgram: false });
  await rejects(
    effects.installing({ transaction: { ...transaction, digest }, signal, record }),
    'ARTIFACT_UNTRUSTED',
  );
  assert.equal(existsSync(marker), false);
});

test('a version that was changed is not rolled back to', async (t) => {
  const { effects, directory, version, marker } = await waiting(t);
  writeFileSync(join(directory, 'data'), 'e');
  const digest = '3'.repeat(64);
  const transaction = { ...transactionOf({ version: '3', hasProgram: false, previous: version }), digest };
  await rejects(effects['rolling-back']({ transaction, signal, record }), 'ARTIFACT_MANIFEST');
  assert.equal(existsSync(marker), false);
});

test('a disk that fails while the version before is installed again is no failure of its install.sh', async (t) => {
  const { effects, version } = await waiting(t);
  const digest = '3'.repeat(64);
  const transaction = { ...transactionOf({ version: '3', hasProgram: false, previous: version }), digest };
  const facts: object[] = [];
  const journal = (learnt: object): void => {
    facts.push(learnt);
    if ('script' in learnt)
      throw wrapError(Object.assign(new Error('i/o error'), { code: 'EIO' }), 'STORE_IO', 'cannot write it');
  };
  await rejects(effects['rolling-back']({ transaction, signal, record: journal }), 'STORE_IO');
  assert.ok(!facts.some((learnt) => 'reinstalled' in learnt), 'the next start runs it again');
});
