/** The start of a tarball as somebody sends it who means harm: gwe decides by it what to fetch, and how much to keep in memory. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { deflateRawSync, gunzipSync, gzipSync } from 'node:zlib';
import { type IndexBytes, readIndexBytes } from '../../../../src/artifact/chunks/index-bytes.ts';
import { DEFAULT_LIMITS } from '../../../../src/artifact/limits.ts';
import { GweError } from '../../../../src/base/errors.ts';
import { fileEntry, makeIndexed, NO_SIGNATURES } from '../../../helpers/indexed.ts';

const GIB = 2 ** 30;
const LIMITS = { ...DEFAULT_LIMITS, manifestBytes: 2 ** 20 };
const MOST_INDEX_BYTES = LIMITS.manifestBytes + LIMITS.metaEntryBytes + 2 ** 17;
const MEMBER_HEADER = Buffer.from('1f8b08000000000000ff', 'hex');

const signatures = gzipSync(fileEntry('.gwe/signatures.json', NO_SIGNATURES));
const noise = randomBytes(300_000);
const tarball = await makeIndexed(
  { name: 'app', version: '1' },
  { 'install.sh': '#!/bin/sh\n', noise: { content: noise } },
);
const manifest = ((): Buffer => {
  const stream = gunzipSync(tarball);
  return stream.subarray(512, 512 + Number.parseInt(stream.toString('latin1', 124, 136), 8));
})();

/** The start of a tarball with this text for a manifest. */
function headOf(text: Buffer | string): Buffer {
  return Buffer.concat([gzipSync(fileEntry('.gwe/manifest.json', text)), signatures]);
}

/** Of the table of chunks. */
type Row = [number, number, string];

/** What a gateway would keep of a tarball that begins with `start` and goes on with `more`, again and again. */
function keptBytes(start: Buffer, more: Buffer): { bytes: number; requests: number; found: IndexBytes } {
  let head = start;
  for (let requests = 0; ; requests++) {
    const found = readIndexBytes(head, GIB, LIMITS);
    if (found.kind !== 'part') return { bytes: head.length, requests, found };
    assert.ok(found.wantedBytes > head.length);
    const filler = Buffer.alloc(found.wantedBytes - start.length + more.length, more);
    head = Buffer.concat([start, filler.subarray(0, found.wantedBytes - start.length)]);
  }
}

test('the index of a good tarball is read, and its chunks end where the file does', () => {
  const found = readIndexBytes(tarball.subarray(0, 4096), tarball.length, LIMITS);
  assert.equal(found.kind, 'chunks');
});

test('endless data attack: a manifest whose compressed form goes on and holds nothing is not waited for', () => {
  const first = fileEntry('.gwe/manifest.json', manifest).subarray(0, 600);
  // Flushed, so that blocks may follow; each of them is empty, and never the last.
  const open = deflateRawSync(first, { finishFlush: 2 });
  const { bytes, requests, found } = keptBytes(
    Buffer.concat([MEMBER_HEADER, open]),
    Buffer.from('000000ffff', 'hex'),
  );
  assert.equal(found.kind, 'none');
  assert.ok(bytes < 200_000, `${bytes} bytes`);
  assert.ok(requests < 40, `${requests} requests`);
});

test('endless data attack: signatures that never end are not waited for', () => {
  const start = Buffer.concat([gzipSync(fileEntry('.gwe/manifest.json', manifest)), MEMBER_HEADER]);
  const { bytes, found } = keptBytes(start, Buffer.from('000000ffff', 'hex'));
  assert.equal(found.kind, 'none');
  assert.ok(bytes < MOST_INDEX_BYTES, `${bytes} bytes`);
});

test('a bomb in the place of the index is not inflated', () => {
  const bomb = Buffer.concat([fileEntry('.gwe/manifest.json', manifest), Buffer.alloc(200 * 2 ** 20)]);
  const before = process.resourceUsage().maxRSS;
  const found = readIndexBytes(gzipSync(bomb), GIB, LIMITS);
  assert.equal(found.kind, 'none');
  const grownMib = (process.resourceUsage().maxRSS - before) / 1024;
  assert.ok(grownMib < 64, `${grownMib} MiB`);
});

test('an index that is announced larger than the limit is refused by its first bytes', () => {
  const head = gzipSync(fileEntry('.gwe/manifest.json', Buffer.alloc(2 * 2 ** 20, 'x')));
  assert.throws(
    () => readIndexBytes(head.subarray(0, 1500), GIB, LIMITS),
    (error) => error instanceof GweError && error.code === 'ARTIFACT_LIMIT',
  );
});

test('a table that lies about the file is not used: its chunks must end where the file does', () => {
  for (const sizeBytes of [tarball.length - 1, tarball.length + 1, GIB]) {
    const found = readIndexBytes(tarball.subarray(0, 4096), sizeBytes, LIMITS);
    assert.deepEqual(
      [found.kind, 'reason' in found && found.reason],
      ['none', 'its chunks do not make up the file'],
    );
  }
});

test('a table that lies about the body is refused: too long, too short, a chunk of nothing, one beyond memory', () => {
  const { chunks } = JSON.parse(manifest.toString()) as { chunks: Row[] };
  const [[size, compressed, digest] = [0, 0, ''], ...rest] = chunks;
  const tables: Row[][] = [
    rest,
    [...chunks, [512, 30, digest]],
    [[size + 1, compressed, digest], ...rest],
    [[0, compressed, digest], ...chunks],
    [[2 ** 40, compressed, digest], ...rest],
    [[size, size + 2 ** 20, digest], ...rest],
    [[size, -5, digest], ...rest],
    [[size, compressed, digest.toUpperCase()], ...rest],
  ];
  for (const table of tables) {
    const head = headOf(JSON.stringify({ ...JSON.parse(manifest.toString()), chunks: table }));
    assert.throws(
      () => readIndexBytes(head, GIB, LIMITS),
      (error) =>
        error instanceof GweError && error.code.startsWith('ARTIFACT_') && !error.message.includes('\n'),
      JSON.stringify(table[0]),
    );
  }
});

test('a table of chunks that unpack to far more than they are is refused before any of them is fetched', async () => {
  const zeros = { content: Buffer.alloc(2 ** 20) };
  const bomb = await makeIndexed({ name: 'app', version: '1' }, { 'install.sh': '#!/bin/sh\n', zeros });
  const head = bomb.subarray(0, 2048);
  assert.equal(readIndexBytes(head, bomb.length, LIMITS).kind, 'chunks', 'a small one is no bomb');
  for (const limits of [
    { ...LIMITS, ratioFloorBytes: 2 ** 19 },
    { ...LIMITS, unpackedBytes: 2 ** 19 },
  ]) {
    assert.throws(
      () => readIndexBytes(head, bomb.length, limits),
      (error) => error instanceof GweError && error.code === 'ARTIFACT_LIMIT',
    );
  }
});

test('more entries in the members of the index than the two of it make it none', () => {
  const extra = fileEntry('evil', 'x');
  const inFirst = gzipSync(Buffer.concat([fileEntry('.gwe/manifest.json', manifest), extra]));
  assert.equal(readIndexBytes(Buffer.concat([inFirst, signatures]), GIB, LIMITS).kind, 'none');
  const inSecond = gzipSync(Buffer.concat([fileEntry('.gwe/signatures.json', NO_SIGNATURES), extra]));
  const head = Buffer.concat([gzipSync(fileEntry('.gwe/manifest.json', manifest)), inSecond]);
  let outcome: string;
  try {
    outcome = readIndexBytes(head, GIB, LIMITS).kind;
  } catch (error) {
    outcome = error instanceof GweError ? error.code : String(error);
  }
  assert.match(outcome, /^(none|ARTIFACT_\w+)$/);
});

test('an index cut at any byte asks for more and says nothing else', () => {
  const found = readIndexBytes(tarball.subarray(0, 8192), tarball.length, LIMITS);
  assert.ok(found.kind === 'chunks');
  for (let length = 200; length < found.indexBytes; length++) {
    const part = readIndexBytes(tarball.subarray(0, length), tarball.length, LIMITS);
    assert.ok(part.kind === 'part' && part.wantedBytes > length, `${length}: ${JSON.stringify(part)}`);
  }
});
