/** What partial fetches read from outside: the index at the start of a tarball, its table of chunks, parts of content. */
import assert from 'node:assert/strict';
import { createHash, randomFillSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { planChunks, runStretch } from '../../src/artifact/chunks/chunk-plan.ts';
import { readIndexBytes } from '../../src/artifact/chunks/index-bytes.ts';
import { inflateMember } from '../../src/artifact/chunks/members.ts';
import { type ArtifactLimits, DEFAULT_LIMITS } from '../../src/artifact/limits.ts';
import { bodyBytesOf, chunkFacts, decodeManifest } from '../../src/artifact/manifest/manifest.ts';
import { matchRange, parseContentRange } from '../../src/protocol/content-range.ts';
import {
  decodeRecords,
  encodeRecords,
  readChunkIndex,
  writeChunkIndex,
} from '../../src/store/chunk-index.ts';
import { fileEntry, makeIndexed, NO_SIGNATURES } from '../helpers/indexed.ts';
import type { FuzzTarget } from './targets.ts';

const LIMITS: ArtifactLimits = { ...DEFAULT_LIMITS, manifestBytes: 2 ** 18, metaEntryBytes: 2 ** 14 };

/** An indexed tarball that has some chunks, its manifest, and its first two members as they are. */
async function makeSeed(): Promise<{ tarball: Buffer; manifest: string; stream: Buffer }> {
  const noise = randomFillSync(Buffer.alloc(200_000));
  const files = { 'install.sh': '#!/bin/sh\n', a: { content: noise }, b: { content: Buffer.alloc(100_000) } };
  const tarball = await makeIndexed({ name: 'app', version: '1' }, files);
  const stream = gunzipSync(tarball);
  const size = Number.parseInt(stream.toString('latin1', 124, 136), 8);
  const manifest = stream.toString('utf8', 512, 512 + size);
  const meta = [fileEntry('.gwe/manifest.json', manifest), fileEntry('.gwe/signatures.json', NO_SIGNATURES)];
  return { tarball, manifest, stream: Buffer.concat(meta) };
}

/** Mutation breaks gzip, and behind it nothing else would be tried: the input is what two members hold. */
function asMembers(input: Buffer): Buffer {
  const size = Number.parseInt(input.toString('latin1', 124, 136), 8);
  const first = 512 + Math.ceil((Number.isNaN(size) ? 0 : size) / 512) * 512;
  return Buffer.concat([gzipSync(input.subarray(0, first)), gzipSync(input.subarray(first))]);
}

function readIndex(head: Buffer, sizeBytes: number): void {
  const found = readIndexBytes(head, sizeBytes, LIMITS);
  if (found.kind === 'part') {
    assert.ok(
      found.wantedBytes > head.length && found.wantedBytes <= sizeBytes,
      'more, and not more than all',
    );
    assert.ok(found.wantedBytes < LIMITS.manifestBytes + LIMITS.metaEntryBytes + 2 ** 17, 'not endless');
  }
  if (found.kind !== 'chunks') return;
  assert.ok(found.indexBytes <= head.length && found.chunks.at(0)?.fileOffset === found.indexBytes);
  const plan = planChunks(found.chunks, (at) => at % 3 === 0, 8192, head.length);
  for (const run of plan.runs) {
    const { start, end } = runStretch(found.chunks, run, head.length);
    assert.ok(start >= 0 && start <= end && end <= sizeBytes, 'inside the tarball');
  }
}

/** The file of one section, without the sum at its end. */
function seedOfIndex(path: string): Buffer {
  const records = encodeRecords([{ digest: 'a'.repeat(32), sizeBytes: 5, offset: 2 ** 33 }]);
  const entries = [{ type: 'file', path: 'a', mode: '0644', size: 1, sha256: '' } as const];
  writeChunkIndex(path, [{ app: 'a', directory: '1-0', chunks: 1, records, entries }]);
  return readFileSync(path).subarray(0, -32);
}

function withSum(body: Buffer): Buffer {
  return Buffer.concat([body, createHash('sha256').update(body).digest()]);
}

export async function chunkTargets(): Promise<FuzzTarget[]> {
  const { tarball, manifest, stream } = await makeSeed();
  const table = Buffer.from(
    manifest.slice(manifest.indexOf('"chunks":') + 9, manifest.indexOf(',"entries"')),
  );
  const around = {
    before: manifest.slice(0, manifest.indexOf('"chunks":') + 9),
    after: manifest.slice(manifest.indexOf(',"entries"')),
  };
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-fuzz-'));
  const path = join(scratch, 'chunks.idx');
  return [
    {
      name: 'index-bytes',
      seeds: [tarball.subarray(0, 4096), stream],
      words: ['\x1f\x8b\x08', '\x00\x00\x00\xff\xff', '"chunks":[', '[1,18,"', '.gwe/manifest.json', '],['],
      limitBytes: 64 * 1024,
      run(input) {
        const head = input.length % 4 === 3 ? input : asMembers(input);
        readIndex(head, Math.max(head.length, tarball.length));
        readIndex(head.subarray(0, head.length / 2), head.length);
      },
    },
    {
      name: 'chunk-table',
      seeds: [table, Buffer.from('[]')],
      words: ['[', ']', ',', '1048576', '1e3', '-1', '"', 'f'.repeat(32), '9007199254740991', '18'],
      limitBytes: 32 * 1024,
      run(input) {
        const decoded = decodeManifest(
          Buffer.from(around.before + input.toString('latin1') + around.after),
          LIMITS,
        );
        const facts = chunkFacts(decoded);
        const last = facts.at(-1);
        if (last !== undefined) assert.equal(last.offset + last.sizeBytes, bodyBytesOf(decoded));
        for (const { sizeBytes, compressedBytes } of facts)
          assert.ok(sizeBytes > 0 && sizeBytes <= 2 ** 20 && compressedBytes <= sizeBytes + 2 ** 16);
      },
    },
    {
      name: 'chunk-member',
      seeds: [gzipSync('x'.repeat(5000)), Buffer.concat([gzipSync('a'), gzipSync('b')])],
      words: ['\x1f\x8b\x08', '\0\0\0\0', '\x00\x00\x00\xff\xff'],
      limitBytes: 64 * 1024,
      async run(input) {
        for (const size of [1, 5000, 2 ** 20]) {
          const bytes = await inflateMember(input, size);
          assert.ok(bytes === undefined || bytes.length === size);
        }
      },
    },
    {
      name: 'content-range',
      seeds: ['bytes 0-9/100', 'bytes 5-5/*', 'bytes=1-2/3'].map((each) => Buffer.from(each)),
      words: ['bytes', ' ', '-', '/', '*', '999999999999999', '0x1', ',', '\t'],
      limitBytes: 1024,
      run(input) {
        const got = parseContentRange(input.toString('latin1'));
        if (got === undefined) return;
        assert.ok(got.start <= got.end && (got.total === undefined || got.end < got.total));
        for (const asked of [{ start: 5, end: 9 }, { start: 0 }, { suffix: 4 }]) {
          if (!matchRange(asked, got)) continue;
          if ('start' in asked) assert.equal(got.start, asked.start);
          if (asked.end !== undefined) assert.ok(got.end <= asked.end, 'not from elsewhere');
        }
      },
    },
    {
      name: 'chunk-index',
      seeds: [seedOfIndex(path)],
      words: ['gwe-chunks-1\n', '"chunks":', '-1', '1e9', '0.5', '"entries":[', '{"type":"file"'],
      limitBytes: 64 * 1024,
      run(input) {
        writeFileSync(path, withSum(input));
        for (const section of readChunkIndex(path))
          for (const { offset, sizeBytes } of decodeRecords(section.records))
            assert.ok(offset >= 0 && sizeBytes >= 0);
      },
      close: async () => rmSync(scratch, { recursive: true, force: true }),
    },
  ];
}
