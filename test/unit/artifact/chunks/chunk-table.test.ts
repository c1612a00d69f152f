import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import {
  checkChunkTable,
  compressMember,
  inflateMember,
  inOrder,
} from '../../../../src/artifact/chunks/members.ts';
import { DEFAULT_LIMITS } from '../../../../src/artifact/limits.ts';
import { manifestMember, signaturesMember } from '../../../../src/artifact/make/pack-indexed.ts';
import { signTarball } from '../../../../src/artifact/make/sign-tarball.ts';
import {
  bodyBytesOf,
  chunkDigest,
  chunkFacts,
  decodeManifest,
  type Manifest,
  type ManifestChunk,
  renderManifest,
} from '../../../../src/artifact/manifest/manifest.ts';
import { manifestDigest } from '../../../../src/artifact/manifest/meta-files.ts';
import { createSigner, readPrivateKey } from '../../../../src/artifact/manifest/signature.ts';
import { inspectArtifact } from '../../../../src/artifact/unpack/extract.ts';
import { fileEntry, forge, makeIndexed, manifestText, newKey, sha256 } from '../../../helpers/indexed.ts';
import { INSTALL_OK } from '../../../helpers/tarball.ts';

const options = { limits: DEFAULT_LIMITS };

/** About 600 KB that compress to a third, in several chunks. */
const TEXT = Array.from(
  { length: 15_000 },
  (_, at) => `${sha256(String(at)).slice(0, 20)} is line ${at}\n`,
).join('');
let tarball: Buffer;
let manifest: Manifest;

before(async () => {
  const entries = { 'install.sh': INSTALL_OK, 'data.txt': TEXT, 'z/empty': '' };
  tarball = await makeIndexed({ name: 'app', version: '1' }, entries);
  ({
    index: { manifest } = assert.fail(),
  } = await inspect(tarball));
});

async function inFile<T>(bytes: Buffer, use: (file: string) => Promise<T>): Promise<T> {
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-chunks-'));
  try {
    const file = join(scratch, 'app.v1.tar.gz');
    writeFileSync(file, bytes);
    return await use(file);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const inspect = (bytes: Buffer): ReturnType<typeof inspectArtifact> =>
  inFile(bytes, (file) => inspectArtifact(file, options));

async function check(bytes: Buffer): Promise<void> {
  await inFile(bytes, async (file) => {
    const { index } = await inspectArtifact(file, options);
    assert.ok(index, 'the content itself is fine');
    await checkChunkTable(file, index);
  });
}

const bodyOf = (bytes: Buffer): Buffer =>
  bytes.subarray(bytes.length - chunkFacts(manifest).reduce((sum, fact) => sum + fact.compressedBytes, 0));

/** The tarball with another table in its manifest. */
async function withTable(chunks: ManifestChunk[]): Promise<Buffer> {
  const bytes = renderManifest({ ...manifest, chunks });
  return Buffer.concat([await manifestMember(bytes), await signaturesMember([]), bodyOf(tarball)]);
}

/** The table with chunk `at` changed. */
function changed(at: number, change: (chunk: ManifestChunk) => ManifestChunk): ManifestChunk[] {
  return [...(manifest.chunks ?? [])].map((chunk, each) => (each === at ? change(chunk) : chunk));
}

/** The table as it is, and as it is if `bytes` move from the `which` of chunk 2 to that of chunk 1. */
function shifted(which: 0 | 1, bytes: number): ManifestChunk[] {
  const by = (chunk: ManifestChunk, more: number): ManifestChunk =>
    which === 0 ? [chunk[0] + more, chunk[1], chunk[2]] : [chunk[0], chunk[1] + more, chunk[2]];
  return [...(manifest.chunks ?? [])].map((chunk, at) => by(chunk, at === 1 ? bytes : at === 2 ? -bytes : 0));
}

test('the table is of the body behind the index, chunk by chunk, to the end of the file', async () => {
  const facts = chunkFacts(manifest);
  assert.ok(facts.length >= 5, `${facts.length} chunks`);
  const body = gunzipSync(bodyOf(tarball));
  assert.equal(body.length, bodyBytesOf(manifest));
  let at = tarball.length - bodyOf(tarball).length;
  for (const { offset, sizeBytes, compressedBytes, digest } of facts) {
    const part = gunzipSync(tarball.subarray(at, at + compressedBytes));
    assert.ok(part.equals(body.subarray(offset, offset + sizeBytes)));
    assert.equal(chunkDigest(part), digest);
    assert.equal(digest, sha256(part).slice(0, 32));
    at += compressedBytes;
  }
  assert.equal(at, tarball.length);
  await check(tarball);
  await check(await withTable([...(manifest.chunks ?? [])]));
});

test('a manifest without a table stays good, and has no chunks', async () => {
  const plain = manifestText({ 'install.sh': INSTALL_OK });
  assert.deepEqual(chunkFacts(decodeManifest(Buffer.from(plain), DEFAULT_LIMITS)), []);
});

test('a table that lies about a chunk is refused by the number of the chunk; the content alone is fine', async () => {
  const wrong: [ManifestChunk[], RegExp][] = [
    [
      changed(1, ([size, compressed]) => [size, compressed, '0'.repeat(32)]),
      /other bytes in chunk 1, expected/,
    ],
    [
      changed(3, ([size, compressed]) => [size, compressed, '0'.repeat(32)]),
      /other bytes in chunk 3, expected/,
    ],
    [shifted(0, 1), /other bytes in chunk 1, expected/],
    [shifted(0, -1), /other bytes in chunk 1, expected/],
    [shifted(1, 1), /other bytes in chunk 1, expected/],
    [shifted(1, -1), /other bytes in chunk 1, expected/],
  ];
  for (const [chunks, message] of wrong) {
    const bytes = await withTable(chunks);
    await assert.rejects(check(bytes), { code: 'ARTIFACT_MANIFEST', message });
    await inFile(bytes, async (file) => {
      const signer = createSigner(readPrivateKey(newKey().privateKey, undefined, 'k'));
      await assert.rejects(signTarball(file, signer, options), { code: 'ARTIFACT_MANIFEST' });
      assert.ok(readFileSync(file).equals(bytes), 'and not signed');
    });
  }
});

test('a chunk in two members, and an index in one or three, are refused', async () => {
  const [first = assert.fail(), ...rest] = chunkFacts(manifest);
  const chunk = await inflateMember(bodyOf(tarball).subarray(0, first.compressedBytes), first.sizeBytes);
  assert.ok(chunk);
  const index = tarball.subarray(0, tarball.length - bodyOf(tarball).length);
  const inOne = await compressMember(gunzipSync(index));
  const inThree = Buffer.concat([index, await compressMember(Buffer.alloc(0))]);
  const message = /chunks that do not begin where the signatures end/;
  for (const other of [inOne, inThree])
    await assert.rejects(check(Buffer.concat([other, bodyOf(tarball)])), {
      code: 'ARTIFACT_MANIFEST',
      message,
    });
  const later = changed(rest.length, ([size, compressed, digest]) => [size, compressed + 1, digest]);
  await assert.rejects(check(await withTable(later)), { code: 'ARTIFACT_MANIFEST', message });
});

test('a table that cannot be true is no manifest, in little time', () => {
  const digest = 'a'.repeat(32);
  const tables: [unknown, string, RegExp][] = [
    [[[2 ** 20 + 1, 500_000, digest]], 'ARTIFACT_FORMAT', /'chunks\.0\.0' is wrong/],
    [[], 'ARTIFACT_FORMAT', /with chunks of 0 bytes, expected \d+/],
    [
      changed(0, ([bytes, ...more]) => [bytes + 1, ...more]),
      'ARTIFACT_FORMAT',
      /with chunks of \d+ bytes, expected/,
    ],
    [
      [...(manifest.chunks ?? []), [512, 40, digest]],
      'ARTIFACT_FORMAT',
      /with chunks of \d+ bytes, expected/,
    ],
    [[[0, 40, digest]], 'ARTIFACT_FORMAT', /'chunks\.0\.0' is wrong/],
    [[[-1, 40, digest]], 'ARTIFACT_FORMAT', /'chunks\.0\.0' is wrong/],
    [[[2 ** 53, 40, digest]], 'ARTIFACT_FORMAT', /JSON/],
    [[[2 ** 53 - 1, 40, digest]], 'ARTIFACT_FORMAT', /'chunks\.0\.0' is wrong/],
    [[[512, 2 ** 53 - 1, digest]], 'ARTIFACT_FORMAT', /chunk 0 has 9007199254740991 bytes for 512/],
    [[[512, 0, digest]], 'ARTIFACT_FORMAT', /'chunks\.0\.1' is wrong/],
    [changed(2, ([bytes, , each]) => [bytes, bytes + 2 ** 16 + 1, each]), 'ARTIFACT_FORMAT', /chunk 2 has/],
    [[[512, 40, digest, 1]], 'ARTIFACT_FORMAT', /'chunks/],
    [[[512, 40]], 'ARTIFACT_FORMAT', /'chunks/],
    [[[512, 40, 'A'.repeat(32)]], 'ARTIFACT_FORMAT', /'chunks\.0\.2' is wrong/],
    [[[512, 40, 'a'.repeat(64)]], 'ARTIFACT_FORMAT', /'chunks\.0\.2' is wrong/],
    [{ 0: [512, 40, digest] }, 'ARTIFACT_FORMAT', /'chunks' is wrong/],
    [Array(2 ** 17 + 1).fill([1, 18, digest]), 'ARTIFACT_FORMAT', /'chunks' is wrong/],
  ];
  for (const [chunks, code, message] of tables) {
    const value = { ...JSON.parse(renderManifest(manifest).toString()), chunks };
    const text = JSON.stringify(
      Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))),
    );
    assert.throws(() => decodeManifest(Buffer.from(text), DEFAULT_LIMITS), { code, message });
  }
  const small = { ...DEFAULT_LIMITS, compressedBytes: 1000 };
  const message = /chunks of \d+ compressed bytes, expected at most 1000/;
  assert.throws(() => decodeManifest(renderManifest(manifest), small), { code: 'ARTIFACT_LIMIT', message });
});

test('files of sizes that no number holds exactly are no body for any table', () => {
  const entries = ['a', 'b'].map((path) => ({
    type: 'file' as const,
    path,
    mode: '0644',
    size: 2 ** 53 - 1,
    sha256: sha256(''),
  }));
  const bytes = renderManifest({ ...manifest, entries, chunks: [[1024, 40, 'a'.repeat(32)]] });
  assert.throws(() => decodeManifest(bytes, DEFAULT_LIMITS), {
    code: 'ARTIFACT_FORMAT',
    message: /chunks of 1024/,
  });
});

test('signing copies the member of the manifest and those of the chunks byte for byte', () =>
  inFile(tarball, async (file) => {
    const keys = [newKey(), newKey()];
    for (const [at, key] of keys.entries()) {
      const signer = createSigner(readPrivateKey(key.privateKey, undefined, 'k'));
      const { index } = await signTarball(file, signer, options);
      assert.equal(index.signatures.length, at + 1);
      assert.equal(index.digest, manifestDigest(renderManifest(manifest)));
      const signed = readFileSync(file);
      const first = await manifestMember(renderManifest(manifest));
      assert.ok(signed.subarray(0, first.length).equals(first));
      assert.ok(bodyOf(signed).equals(bodyOf(tarball)));
      await check(signed);
      const found = (await inspect(signed)).index?.signatures.map(({ keyid }) => keyid);
      assert.deepEqual(found, index.signatures.map(({ keyid }) => keyid).sort());
    }
  }));

test('a tarball whose manifest has no table is signed as it is: a table would make it another artifact', async () => {
  const text = manifestText({ 'install.sh': INSTALL_OK });
  await inFile(forge(text, [fileEntry('install.sh', INSTALL_OK, 0o755)]), async (file) => {
    const signer = createSigner(readPrivateKey(newKey().privateKey, undefined, 'k'));
    const { index, isNew } = await signTarball(file, signer, options);
    assert.deepEqual([isNew, index.digest], [false, sha256(text)]);
    assert.equal((await inspectArtifact(file, options)).index?.signatures.length, 1);
  });
});

test('a member is accepted only whole, alone, and of the requested size', async () => {
  const member = await compressMember(Buffer.from('content'));
  assert.deepEqual(await inflateMember(member, 7), Buffer.from('content'));
  assert.equal(await inflateMember(member, 6), undefined);
  assert.equal(await inflateMember(member, 8), undefined);
  assert.equal(await inflateMember(member.subarray(0, -1), 7), undefined);
  assert.equal(await inflateMember(Buffer.concat([member, Buffer.alloc(1)]), 7), undefined);
  for (let at = 10; at < member.length; at++) {
    const damaged = Buffer.from(member);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    assert.equal(await inflateMember(damaged, 7), undefined, `byte ${at}`);
  }
});

test('work that is done side by side keeps its order, and its bound', async () => {
  let atWork = 0;
  let most = 0;
  const work = async (item: number): Promise<number> => {
    most = Math.max(most, ++atWork);
    for (let turns = item % 7; turns >= 0; turns--) await new Promise(setImmediate);
    atWork--;
    return item;
  };
  const items = Array.from({ length: 100 }, (_, at) => at);
  const results: number[] = [];
  for await (const each of inOrder(items, work)) results.push(each);
  assert.deepEqual(results, items);
  assert.ok(most > 1 && most <= 8, `${most} at a time`);
});
