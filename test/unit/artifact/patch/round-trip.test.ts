import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { chunkFacts, type ManifestChunk } from '../../../../src/artifact/manifest/manifest.ts';
import { decodeDirectory, directoryBytes } from '../../../../src/artifact/patch/format.ts';
import { makePatch, type PatchTarball, planPatch } from '../../../../src/artifact/patch/make.ts';
import { applyPatch, bufferSource, makeSide } from '../../../helpers/patch-tarball.ts';

/** Bytes without a pattern, the same for the same seed. */
function noise(seed: string, sizeBytes: number): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at * 32 < sizeBytes; at++)
    pieces.push(createHash('sha256').update(`${seed}${at}`).digest());
  return Buffer.concat(pieces).subarray(0, sizeBytes);
}

/** Noise of which the chunks differ all over: one byte in 100 is another. */
function rebuilt(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  for (let at = 50; at < copy.length; at += 100) copy[at] = (copy[at] ?? 0) + 7;
  return copy;
}

type Side = ReturnType<typeof makeSide>;

async function patched(old: PatchTarball, next: PatchTarball): Promise<{ bytes: Buffer; missing: number[] }> {
  const plan = planPatch(old, next);
  const { bytes } = await makePatch(old, next, plan);
  return { bytes, missing: plan.missing.map(({ index }) => index) };
}

async function assertRebuilt(old: Side, next: Side): Promise<Buffer> {
  const { bytes, missing } = await patched(old, next);
  const made = applyPatch(bytes, old.body, next.manifest);
  const directory = decodeDirectory(
    bytes.subarray(0, directoryBytes(bytes)),
    bytes.length,
    chunkFacts(next.manifest).length,
  );
  assert.deepEqual(
    [...made.keys()],
    directory.parts.flatMap(({ chunks }) => chunks),
  );
  for (const index of made.keys()) assert.ok(missing.includes(index));
  return bytes;
}

const program = noise('program', 1_500_000);

describe('a patch', () => {
  test('rebuilds a program that has changed all over, from a hundredth of its bytes', async () => {
    const old = makeSide({ 'bin/program': program, 'install.sh': Buffer.from('#!/bin/sh\n') });
    const next = makeSide({ 'bin/program': rebuilt(program), 'install.sh': Buffer.from('#!/bin/sh\n') });
    const { bytes, missing } = await patched(old, next);
    assert.ok(bytes.length < program.length / 100, `${bytes.length} bytes`);
    const made = applyPatch(bytes, old.body, next.manifest);
    assert.deepEqual([...made.keys()], missing);
  });

  test('finds a file that was renamed and changed', async () => {
    const old = makeSide({ 'lib/one-1.2.so': program });
    const next = makeSide({ 'another/place/two.so': rebuilt(program) });
    const bytes = await assertRebuilt(old, next);
    assert.ok(bytes.length < program.length / 50, `${bytes.length} bytes`);
  });

  test('of a version that is the same has no parts', async () => {
    const side = makeSide({ a: program });
    const { bytes, missing } = await patched(side, makeSide({ a: program }));
    assert.deepEqual(missing, []);
    assert.equal(applyPatch(bytes, side.body, side.manifest).size, 0);
  });

  test('leaves out what is no smaller than chunks', async () => {
    const old = makeSide({ a: program });
    const next = makeSide({ a: noise('something else', 400_000) });
    const free = {
      ...next,
      manifest: {
        ...next.manifest,
        chunks: Array.from(
          next.manifest.chunks ?? [],
          ([size, , digest]): ManifestChunk => [size, 18, digest],
        ),
      },
    };
    const { bytes } = await patched(old, free as PatchTarball);
    assert.equal(applyPatch(bytes, old.body, next.manifest).size, 0);
  });

  test('gives nothing wrong where the old version is not the one it was made from', async () => {
    const old = makeSide({ a: program });
    const next = makeSide({ a: rebuilt(program) });
    const { bytes, missing } = await patched(old, next);
    const damaged = Buffer.from(old.bytes);
    damaged[700_000] = (damaged[700_000] ?? 0) ^ 1;
    const made = applyPatch(bytes, bufferSource(damaged), next.manifest);
    assert.equal(made.size, missing.length - 1);
    assert.equal(applyPatch(bytes, bufferSource(Buffer.alloc(0)), next.manifest).size, 0);
  });

  test('is made from an old version without a chunk table', async () => {
    const old = makeSide({ a: program, b: noise('kept', 300_000) });
    const { chunks: _none, ...manifest } = old.manifest;
    const next = makeSide({ a: rebuilt(program), b: noise('kept', 300_000) });
    const known = planPatch(old, next).missing.length;
    assert.equal(planPatch({ ...old, manifest }, next).missing.length, known);
    assert.throws(() => planPatch(next, { ...old, manifest }), /without chunks/);
  });

  test('rebuilds every chunk that it lists, whatever was edited, inserted, moved or cut off', async () => {
    const edit = fc.record({
      kind: fc.constantFrom('change', 'insert', 'remove', 'move', 'repeat', 'truncate'),
      at: fc.nat(),
      size: fc.oneof(fc.nat({ max: 16 }), fc.nat({ max: 60_000 })),
      other: fc.nat(),
    });
    const base = Buffer.concat([noise('x', 120_000), Buffer.alloc(70_000), noise('y', 90_000)]);
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { maxLength: 8 }), async (edits) => {
        let bytes: Buffer = base;
        for (const [step, { kind, at, size, other }] of edits.entries()) {
          const from = at % (bytes.length + 1);
          const [front, piece, rest] = [
            bytes.subarray(0, from),
            bytes.subarray(from, from + size),
            bytes.subarray(from + size),
          ];
          const target = other % (front.length + 1);
          if (kind === 'change') bytes = Buffer.concat([front, noise(`${step}`, piece.length), rest]);
          else if (kind === 'insert') bytes = Buffer.concat([front, noise(`${step}`, size), piece, rest]);
          else if (kind === 'remove') bytes = Buffer.concat([front, rest]);
          else if (kind === 'repeat') bytes = Buffer.concat([front, piece, piece, rest]);
          else if (kind === 'truncate') bytes = front;
          else bytes = Buffer.concat([front.subarray(0, target), piece, front.subarray(target), rest]);
        }
        const old = makeSide({ data: base, 'z.txt': Buffer.from('z') });
        await assertRebuilt(old, makeSide({ data: bytes, 'z.txt': Buffer.from('zz') }));
        await assertRebuilt(makeSide({ data: bytes }), old);
      }),
      { numRuns: Number(process.env.GWE_PATCH_RUNS ?? 8) },
    );
  });
});

describe('places beyond 2 GiB and 4 GiB', () => {
  for (const far of [2 ** 31 - 2 ** 16, 2 ** 31 + 512, 2 ** 32 + 2 ** 14, 2 ** 40]) {
    test(`are kept in full: ${far}`, async () => {
      // A huge file of zeros in front, which no chunk of the new version lacks: only its place counts.
      const tail = makeSide({ tail: program });
      const next = makeSide({ tail: rebuilt(program) });
      const body = {
        sizeBytes: far + tail.bytes.length,
        read(offset: number, into: Buffer) {
          into.fill(0);
          const shift = offset - far;
          if (shift >= 0) tail.bytes.copy(into, 0, shift, shift + into.length);
          else if (shift + into.length > 0) tail.bytes.copy(into, -shift, 0, shift + into.length);
          return true;
        },
      };
      const front = {
        type: 'file',
        path: 'front',
        mode: '0644',
        size: far - 512,
        sha256: 'f'.repeat(64),
      } as const;
      const chunk: [number, number, string] = [1, 18, '0'.repeat(32)];
      const manifest = { ...tail.manifest, entries: [front, ...tail.manifest.entries], chunks: [chunk] };
      const keeping = { ...next, manifest: { ...next.manifest, entries: [front, ...next.manifest.entries] } };
      const { bytes, missing } = await patched({ ...tail, manifest, body }, keeping);
      assert.ok(bytes.length < program.length / 50, `${bytes.length} bytes`);
      assert.equal(applyPatch(bytes, body, next.manifest).size, missing.length);
    });
  }
});
