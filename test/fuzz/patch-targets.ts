/** Patches as a content area gives them: nobody vouches for them. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { brotliCompressSync, constants } from 'node:zlib';
import type { ByteSource } from '../../src/artifact/byte-source.ts';
import { DEFAULT_LIMITS } from '../../src/artifact/limits.ts';
import { manifestDigest } from '../../src/artifact/manifest/meta-files.ts';
import { openPart, PartReader } from '../../src/artifact/patch/apply.ts';
import {
  decodeDirectory,
  directoryBytes,
  encodeDirectory,
  MOST_PAYLOAD_BYTES,
  PREFIX_BYTES,
  partDigest,
} from '../../src/artifact/patch/format.ts';
import { rebuildIndex } from '../../src/artifact/patch/index-part.ts';
import { VarintWriter } from '../../src/artifact/patch/varint.ts';
import type { FuzzTarget } from './targets.ts';

const NEW_CHUNKS = 50;
const MOST_OUTPUT = 256 * 1024;

const OLD: ByteSource = {
  sizeBytes: 65_536,
  read(offset, into) {
    assert.ok(offset >= 0 && offset + into.length <= 65_536, 'inside the old body');
    into.fill(offset & 0xff);
    return offset % 7 !== 0;
  },
};

const DIGEST = 'a'.repeat(64);
const DIRECTORY = encodeDirectory({
  oldDigest: DIGEST,
  newDigest: DIGEST,
  oldBytes: 65_536,
  index: {
    manifestBytes: 1003,
    signatureBytes: 20,
    payloadBytes: 40,
    sizeBytes: 30,
    digest: 'd'.repeat(32),
  },
  parts: [
    { chunks: [0, 1, 5], payloadBytes: 100, sizeBytes: 60, digest: 'b'.repeat(32) },
    { chunks: [6, 49], payloadBytes: 5, sizeBytes: 9, digest: 'c'.repeat(32) },
  ],
});

/** Mutation breaks the digest, and behind it nothing else would be tried. */
function withDigest(body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(body.length);
  const all = Buffer.concat([DIRECTORY.subarray(0, PREFIX_BYTES - 4), length, body]);
  return Buffer.concat([all, createHash('sha256').update(all).digest().subarray(0, 16)]);
}

/** Copies 1000 bytes from 500 on, two of them changed, then takes three from the extras, then copies backwards. */
function makePayload(): Buffer {
  const controls = new VarintWriter();
  for (const [copy, extra, skip] of [
    [1000, 3, 500],
    [20, 0, -900],
  ] as const) {
    controls.put(copy);
    controls.put(extra);
    controls.putSigned(skip);
  }
  const gaps = new VarintWriter();
  for (const gap of [10, 300]) gaps.put(gap);
  const head = new VarintWriter();
  for (const bytes of [controls.length, gaps.length, 2]) head.put(bytes);
  return Buffer.concat([
    head.bytes(),
    controls.bytes(),
    gaps.bytes(),
    Buffer.from([1, 255]),
    Buffer.from('xyz'),
  ]);
}

function readAll(reader: PartReader, pieceBytes: number, allBytes = MOST_OUTPUT): void {
  const into = Buffer.alloc(pieceBytes);
  for (let done = 0; done < allBytes; done += pieceBytes) reader.read(into, OLD);
  reader.end();
}

const SMALL = { params: { [constants.BROTLI_PARAM_LGWIN]: 16, [constants.BROTLI_PARAM_QUALITY]: 1 } };
/** Of the manifest that `makePayload` makes from the old one of the target below. */
const INDEX_DIGEST = manifestDigest(makeIndexText());

function makeIndexText(): Buffer {
  const into = Buffer.alloc(1003);
  const old = Buffer.alloc(2000, 'manifest');
  new PartReader(makePayload()).read(into, {
    sizeBytes: old.length,
    read: (offset, piece) => old.copy(piece, 0, offset, offset + piece.length) === piece.length,
  });
  return into;
}

export function patchTargets(): FuzzTarget[] {
  const payload = makePayload();
  let runs = 0;
  return [
    {
      name: 'patch-directory',
      seeds: [DIRECTORY.subarray(PREFIX_BYTES, -16)],
      words: ['\xff\xff\xff\xff\xff\xff\xff\x0f', '\x80', '\x00', '\x01', '\x32', 'gwepatch\x02'],
      limitBytes: 64 * 1024,
      run(input) {
        const bytes = input.length % 8 === 7 ? input : withDigest(input);
        assert.ok(directoryBytes(bytes) < 2 ** 21, 'no more is held in memory');
        // Its size is the last thing that is held against the directory, and no input would guess it.
        for (const fileBytes of [bytes.length, bytes.length + 69, bytes.length + 99]) {
          const { index, parts } = decodeDirectory(bytes, fileBytes, NEW_CHUNKS);
          const chunks = parts.flatMap((part) => part.chunks);
          assert.ok(
            chunks.every((chunk, at) => chunk < NEW_CHUNKS && chunk > (chunks[at - 1] ?? -1)),
            'ascending',
          );
          for (const { offset, sizeBytes, payloadBytes } of [
            ...parts,
            ...(index === undefined ? [] : [index]),
          ])
            assert.ok(offset + sizeBytes <= fileBytes && payloadBytes <= MOST_PAYLOAD_BYTES);
        }
      },
    },
    {
      name: 'patch-part',
      seeds: [payload],
      words: ['\xff\xff\xff\xff\xff\xff\xff\x0f', '\x80', '\x00', '\x01', '\x7f', '\xe8\x07'],
      limitBytes: 64 * 1024,
      run(input) {
        if (input.length % 2 === 0) readAll(new PartReader(input), MOST_OUTPUT / 4);
        else readAll(new PartReader(input), 341, 1023);
      },
    },
    {
      name: 'patch-index',
      seeds: [makePayload()],
      words: ['\xff\xff\xff\xff\xff\xff\xff\x0f', '\x80', '\x00', '\x01', '\x7f'],
      limitBytes: 16 * 1024,
      run(input) {
        const part = brotliCompressSync(input, SMALL);
        const sizes = { payloadBytes: input.length, sizeBytes: part.length, digest: partDigest(part) };
        const fact = { manifestBytes: 1003, signatureBytes: 20, ...sizes };
        const old = Buffer.alloc(2000, 'manifest');
        const { manifest } = rebuildIndex({ bytes: part, fact }, old, INDEX_DIGEST, DEFAULT_LIMITS);
        assert.equal(manifestDigest(manifest), INDEX_DIGEST);
      },
    },
    {
      name: 'patch-brotli',
      seeds: [brotliCompressSync(payload, SMALL), brotliCompressSync(Buffer.alloc(100_000), SMALL)],
      words: ['\x11', '\x8b', '\x03', '\x0b\x02\x80', '\x91'],
      limitBytes: 64 * 1024,
      async run(input) {
        // What a decoder that failed has held is given back between two turns of the event loop.
        if (++runs % 64 === 0) await setImmediate();
        const facts = { chunks: [0], sizeBytes: input.length, digest: partDigest(input) };
        for (const payloadBytes of [payload.length, 100_000])
          readAll(openPart(input, { ...facts, payloadBytes }), 4096);
      },
    },
  ];
}
