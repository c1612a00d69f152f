import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkTable } from '../../../../src/artifact/chunks/chunk-table.ts';
import { chunkDigest, chunkFacts, type ManifestChunk } from '../../../../src/artifact/manifest/manifest.ts';
import { numbers } from '../../../bench/payload.ts';

/** Some of them alike. */
function randomChunks(count: number, seed: string): ManifestChunk[] {
  const next = numbers(seed);
  return Array.from({ length: count }, () => {
    const content = next() % Math.max(1, Math.ceil(count * 0.8));
    return [1 + (next() % 2 ** 20), 18 + (next() % 2 ** 20), chunkDigest(Buffer.from(String(content)))];
  });
}

test('a table says of each chunk what the manifest does, and where it is', () => {
  const chunks = randomChunks(500, 'table');
  const table = new ChunkTable(chunks, 1000);
  let fileOffset = 1000;
  const expected = chunkFacts({ chunks }).map((fact) => {
    const placed = { ...fact, fileOffset };
    fileOffset += fact.compressedBytes;
    return placed;
  });
  assert.deepEqual([...table], expected);
  for (const at of [0, 1, 499, 500, -1, -500, -501])
    assert.deepEqual(table.at(at), expected.at(at), `chunk ${at}`);
});

test('places beyond four gigabytes are exact', () => {
  const chunks = Array.from({ length: 9000 }, (): ManifestChunk => [2 ** 20, 2 ** 20 + 7, 'ab'.repeat(16)]);
  const last = new ChunkTable(chunks, 3).at(-1);
  assert.deepEqual([last?.offset, last?.fileOffset], [8999 * 2 ** 20, 3 + 8999 * (2 ** 20 + 7)]);
});

test('a chunk is found by its digest: the first of those that are alike, and none that is not there', () => {
  for (const count of [0, 1, 2, 3, 1000]) {
    const chunks = randomChunks(count, `find ${count}`);
    const table = new ChunkTable(chunks, 0);
    const digests = chunks.map(([, , digest]) => digest);
    for (const digest of digests) assert.equal(table.first(digest), digests.indexOf(digest));
    for (const other of ['', 'zz', '00'.repeat(16), 'ff'.repeat(16), chunkDigest(Buffer.from('other'))])
      assert.equal(table.first(other), undefined, other);
  }
});
