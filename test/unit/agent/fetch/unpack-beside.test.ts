/** A whole tarball is unpacked while it comes down; what goes wrong with that leaves no trace, for it is done again as a file. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openUnpackBeside } from '../../../../src/agent/fetch/unpack-beside.ts';
import { DEFAULT_LIMITS } from '../../../../src/artifact/limits.ts';
import { inspectArtifact } from '../../../../src/artifact/unpack/extract.ts';
import { appDirectory } from '../../../../src/store/layout.ts';
import { agentParts, transactionOf } from '../../../helpers/agent-parts.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

const LARGE = randomBytes(900_000);
const TARBALL = makeTarball({
  'install.sh': INSTALL_OK,
  'data/large': { content: LARGE },
  'data/small': 'x',
});
const SHA256 = createHash('sha256').update(TARBALL).digest('hex');

/** `tarball` comes in pieces; returns what was learnt, and where the tree would be. */
async function unpack(t: TestContext, tarball: Buffer, sha256: string, expectedSha256?: string) {
  const { context, layout } = agentParts(t);
  const transaction = transactionOf(expectedSha256 === undefined ? {} : { expectedSha256 });
  const digest = { algorithm: 'sha256', hex: sha256 } as const;
  const info = { type: '', sizeBytes: tarball.length, updated: 1, meta: '', digest };
  const beside = openUnpackBeside(context, transaction, { info });
  assert.ok(beside !== undefined);
  for (let at = 0; at < tarball.length; at += 10_000)
    await beside.write(Buffer.from(tarball.subarray(at, at + 10_000)));
  const learnt = await beside.end();
  await beside.close();
  return { learnt, staging: join(appDirectory(layout, 'app'), `.staging-${transaction.id}`) };
}

test('what comes down is unpacked by then, and known by the digest that the file would have', async (t) => {
  const { learnt, staging } = await unpack(t, TARBALL, SHA256, SHA256);
  const directory = mkdtempSync(join(tmpdir(), 'gwe-beside-'));
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'file'), TARBALL);
  const { digest } = await inspectArtifact(join(directory, 'file'), { limits: DEFAULT_LIMITS });
  assert.deepEqual(learnt, { digest, rootPrefix: '', hasProgram: false, isUnpacked: true });
  assert.ok(readFileSync(join(staging, 'data/large')).equals(LARGE));
  assert.equal(readFileSync(join(staging, 'install.sh'), 'utf8'), INSTALL_OK);
});

const damaged = Buffer.from(TARBALL);
damaged.fill(7, 400_000, 400_100);
const FAULTS: Readonly<Record<string, Parameters<typeof unpack> extends [unknown, ...infer R] ? R : never>> =
  {
    'another digest than the content area tells of': [TARBALL, '0'.repeat(64)],
    'another digest than the command tells of': [TARBALL, SHA256, '0'.repeat(64)],
    'damaged bytes': [damaged, SHA256],
    'an end that is missing': [TARBALL.subarray(0, -9), SHA256],
    'no install.sh': [makeTarball({ 'a/b': 'c', d: 'e' }), SHA256],
  };
for (const [what, [tarball, sha256, expected]] of Object.entries(FAULTS))
  test(`${what}: nothing is learnt, and nothing is left`, async (t) => {
    const { learnt, staging } = await unpack(t, tarball, sha256, expected);
    assert.equal(learnt, undefined);
    assert.equal(existsSync(staging), false);
  });
