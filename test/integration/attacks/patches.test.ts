/** Patches come from the content area and nobody signs them: whatever is in one, the tree is the signed one. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { brotliCompressSync, constants } from 'node:zlib';
import { readIndexBytes } from '../../../src/artifact/chunks/index-bytes.ts';
import { DEFAULT_LIMITS } from '../../../src/artifact/limits.ts';
import { encodeDirectory, type PartFact, partDigest, patchName } from '../../../src/artifact/patch/format.ts';
import { VarintWriter } from '../../../src/artifact/patch/varint.ts';
import { GweError } from '../../../src/base/errors.ts';
import { createDeltaRig, type DeltaRig, listing } from '../../helpers/delta-rig.ts';
import { makeIndexed, newKey } from '../../helpers/indexed.ts';

const alice = newKey();
const OLD = 'app.v1.tar.gz';
const NEW = 'app.v2.tar.gz';

const tarballOf = (version: string): Promise<Buffer> =>
  makeIndexed(
    { name: 'app', version },
    { 'install.sh': '#!/bin/sh\nexit 0\n', VERSION: version, 'lib/big': { content: randomBytes(600_000) } },
    [alice],
  );

let old: Buffer;
let next: Buffer;
let tree: Record<string, string>;

async function withGateway(
  use: (rig: DeltaRig) => Promise<void>,
  settings: Readonly<Record<string, string>> = {},
): Promise<void> {
  const rig = await createDeltaRig(settings);
  try {
    mkdirSync(rig.layout.keysDirectory, { recursive: true });
    writeFileSync(join(rig.layout.keysDirectory, 'alice.pub'), alice.publicKey);
    await rig.install(OLD, old);
    rig.put(NEW, next);
    await use(rig);
  } finally {
    await rig.close();
  }
}

before(async () => {
  [old, next] = [await tarballOf('1'), await tarballOf('2')];
  await withGateway(async (rig) => {
    tree = listing((await rig.update(NEW)).directory);
  });
});

function indexOf(tarball: Buffer) {
  const found = readIndexBytes(tarball.subarray(0, 64 * 1024), tarball.length, DEFAULT_LIMITS);
  assert.ok(found.kind === 'chunks');
  return found;
}

/** Stretches of [bytes to copy, bytes of extras, where to begin], as the payload of a part. */
function payloadOf(stretches: readonly (readonly [number, number, number])[], extras: Buffer): Buffer {
  const controls = new VarintWriter();
  for (const [copy, extra, skip] of stretches) {
    controls.put(copy);
    controls.put(extra);
    controls.putSigned(skip);
  }
  const head = new VarintWriter();
  for (const bytes of [controls.length, 0, 0]) head.put(bytes);
  return Buffer.concat([head.bytes(), controls.bytes(), extras]);
}

const packed = (payload: Buffer): Buffer =>
  brotliCompressSync(payload, {
    params: { [constants.BROTLI_PARAM_LGWIN]: 22, [constants.BROTLI_PARAM_QUALITY]: 5 },
  });

/** A well-formed patch of one part that says that it makes all chunks of the new version. */
function patchOf(
  part: Buffer,
  payloadBytes: number,
  digest = partDigest(part),
): { id: string; bytes: Buffer } {
  const [from, to] = [indexOf(old), indexOf(next)];
  const fact: PartFact = {
    chunks: Array.from(to.chunks, (_chunk, at) => at),
    payloadBytes,
    sizeBytes: part.length,
    digest,
  };
  const directory = encodeDirectory({
    oldDigest: from.index.digest,
    newDigest: to.index.digest,
    oldBytes: 600_000,
    parts: [fact],
  });
  const id = patchName(to.index.manifest, from.index.digest, to.index.digest);
  return { id, bytes: Buffer.concat([directory, part]) };
}

const allBytes = (): number => [...indexOf(next).chunks].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);

/** The patch is fetched, and in the end the tree is the signed one. */
async function assertHarmless({ id, bytes }: { id: string; bytes: Buffer }): Promise<void> {
  await withGateway(async (rig) => {
    rig.put(id, bytes);
    const { directory } = await rig.update(NEW);
    assert.deepEqual(listing(directory), tree);
    assert.match(
      rig.log.join(''),
      /patch\.(part|skip)|changedChunks=[1-9]/,
      'it was looked at, and found out',
    );
    const sent = rig.served.reduce((sum, { sentBytes }) => sum + sentBytes, 0);
    assert.ok(sent < next.length + bytes.length + 64 * 1024, `${sent} bytes`);
  });
}

test('a patch that makes other bytes than the signed ones is worth nothing', async () => {
  const payload = payloadOf(
    [[0, 100_000, 0], ...Array<[number, number, number]>(9).fill([100_000, 0, -50_000])],
    Buffer.alloc(100_000, 'evil'),
  );
  await assertHarmless(patchOf(packed(payload), payload.length));
});

test('a patch that copies from beyond the old version, from before it, or without end', async () => {
  for (const stretches of [
    [[2 ** 40, 0, 0]],
    [[allBytes(), 0, -5000]],
    [[1, 0, 2 ** 50]],
    [[allBytes(), 0, 600_000]],
    [[0, 2 ** 40, 0]],
    [[0, 0, 0]],
  ] as const) {
    const payload = payloadOf(stretches, Buffer.alloc(10));
    await assertHarmless(patchOf(packed(payload), payload.length));
  }
});

test('endless data attack: a part that inflates to far more than its directory says', async () => {
  const bomb = packed(Buffer.alloc(200 * 2 ** 20));
  const beforeMib = process.resourceUsage().maxRSS / 1024;
  await assertHarmless(patchOf(bomb, 1000));
  await assertHarmless(patchOf(bomb, 2 ** 21));
  const grownMib = process.resourceUsage().maxRSS / 1024 - beforeMib;
  assert.ok(grownMib < 64, `${grownMib} MiB`);
});

test('a part with another digest, no brotli at all, or a window beyond what is allowed', async () => {
  const payload = payloadOf([[allBytes(), 0, 0]], Buffer.alloc(0));
  await assertHarmless(patchOf(packed(payload), payload.length, '0'.repeat(32)));
  await assertHarmless(patchOf(randomBytes(20_000), 20_000));
  const large = brotliCompressSync(payload, {
    params: { [constants.BROTLI_PARAM_LARGE_WINDOW]: 1, [constants.BROTLI_PARAM_LGWIN]: 30 },
  });
  await assertHarmless(patchOf(large, payload.length));
});

test('a directory that lies about the file, and one that is no directory', async () => {
  const payload = payloadOf([[allBytes(), 0, 0]], Buffer.alloc(0));
  const { id, bytes } = patchOf(packed(payload), payload.length);
  for (const evil of [
    bytes.subarray(0, bytes.length - 1),
    Buffer.concat([bytes, Buffer.alloc(5000)]),
    Buffer.concat([bytes.subarray(0, 12), Buffer.from('ffffffff', 'hex'), bytes.subarray(16)]),
    randomBytes(12_000),
    Buffer.alloc(0),
  ]) {
    await assertHarmless({ id, bytes: evil });
  }
});

test('a patch that promises little and makes nothing does not get around delta_fallback', async () => {
  const payload = payloadOf([[allBytes(), 0, 0]], Buffer.alloc(0));
  const { id, bytes } = patchOf(packed(payload), payload.length);
  await withGateway(
    async (rig) => {
      rig.put(id, bytes);
      await assert.rejects(
        rig.update(NEW),
        (error) => error instanceof GweError && error.code === 'DOWNLOAD_REFUSED',
      );
      const sent = rig.served.reduce((sum, { sentBytes }) => sum + sentBytes, 0);
      assert.ok(sent < 64 * 1024, `${sent} bytes`);
    },
    { delta_fallback: 'fail' },
  );
});
