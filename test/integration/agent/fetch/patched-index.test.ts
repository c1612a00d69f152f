/** The index of a new version from a patch: what it saves, and that whatever is in it, the signed index is the one that counts. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readIndexFile } from '../../../../src/artifact/chunks/index-file.ts';
import { DEFAULT_LIMITS } from '../../../../src/artifact/limits.ts';
import {
  decodeDirectory,
  directoryBytes,
  encodeDirectory,
  type IndexPartFact,
  MOST_CHUNKS,
} from '../../../../src/artifact/patch/format.ts';
import { makePairPatch } from '../../../../src/artifact/patch/pair.ts';
import { GweError } from '../../../../src/base/errors.ts';
import { createDeltaRig, type DeltaRig, listing } from '../../../helpers/delta-rig.ts';
import { makeIndexed, newKey } from '../../../helpers/indexed.ts';

const alice = newKey();
const bob = newKey();
const OLD = 'app.v1.tar.gz';
const NEW = 'app.v2.tar.gz';
const FILES = 200;
const PROGRAM = noise('program', 1_200_000);

function noise(seed: string, sizeBytes: number): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at * 32 < sizeBytes; at++)
    pieces.push(createHash('sha256').update(`${seed}${at}`).digest());
  return Buffer.concat(pieces).subarray(0, sizeBytes);
}

/** As a compiler leaves it; what differs makes more of the patch than its first request brings. */
function programOf(version: string): Buffer {
  const bytes = Buffer.from(PROGRAM);
  const other = noise(version, bytes.length / 40);
  for (let at = 0; at < bytes.length; at += 40) bytes[at] = (bytes[at] ?? 0) + (other[at / 40] ?? 0);
  return bytes;
}

/** Many small files, of which one in fifty differs between versions. */
function tarballOf(version: string, keys = [alice]): Promise<Buffer> {
  const files = Array.from({ length: FILES }, (_unused, at) => {
    const seed = at % 50 === 0 ? `${at} of ${version}` : `${at}`;
    return [`lib/module-${at}.js`, noise(seed, 900).toString('base64')] as const;
  });
  const program = { content: programOf(version), mode: 0o755 };
  const entries = { 'install.sh': '#!/bin/sh\nexit 0\n', program, ...Object.fromEntries(files) };
  return makeIndexed({ name: 'app', version }, entries, keys);
}

const root = mkdtempSync(join(tmpdir(), 'gwe-patched-index-'));
after(() => rmSync(root, { recursive: true, force: true }));

let old: Buffer;
let next: Buffer;
let indexBytes: number;
let meta: string;
let patch: { id: string; bytes: Buffer };
let tree: Record<string, string>;

async function withRig(use: (rig: DeltaRig) => Promise<void>): Promise<void> {
  const rig = await createDeltaRig();
  try {
    mkdirSync(rig.layout.keysDirectory, { recursive: true });
    writeFileSync(join(rig.layout.keysDirectory, 'alice.pub'), alice.publicKey);
    await rig.install(OLD, old);
    rig.put(NEW, next, meta);
    await use(rig);
  } finally {
    await rig.close();
  }
}

before(async () => {
  old = await tarballOf('1');
  next = await tarballOf('2');
  writeFileSync(join(root, OLD), old);
  writeFileSync(join(root, NEW), next);
  const found = readIndexFile(join(root, NEW), DEFAULT_LIMITS);
  assert.ok(found.kind === 'chunks');
  ({ indexBytes } = found);
  meta = `MANIFEST-SHA256:${found.index.digest}`;
  const { signal } = new AbortController();
  const { file } = await makePairPatch(join(root, OLD), join(root, NEW), { signal });
  assert.ok(file !== undefined);
  patch = { id: basename(file), bytes: readFileSync(file) };
  await withRig(async (rig) => {
    tree = listing((await rig.update(NEW)).directory);
  });
});

const sent = (rig: DeltaRig): number => rig.served.reduce((sum, { sentBytes }) => sum + sentBytes, 0);

function indexPart(): IndexPartFact & { offset: number } {
  const { bytes } = patch;
  const { index } = decodeDirectory(bytes.subarray(0, directoryBytes(bytes)), bytes.length, MOST_CHUNKS);
  assert.ok(index !== undefined);
  return index;
}

/** The patch with another index part, or with other facts of the one that it has. */
function withIndexPart(change: Partial<IndexPartFact>, part?: Buffer): Buffer {
  const { bytes } = patch;
  const directory = decodeDirectory(bytes.subarray(0, directoryBytes(bytes)), bytes.length, MOST_CHUNKS);
  const index = indexPart();
  const end = index.offset + index.sizeBytes;
  const head = encodeDirectory({ ...directory, index: { ...index, ...change } });
  return Buffer.concat([head, part ?? bytes.subarray(index.offset, end), bytes.subarray(end)]);
}

describe('an update by a patch with the index in it', () => {
  test('fetches the patch and nothing else, far less than the index alone', async () => {
    await withRig(async (rig) => {
      rig.put(patch.id, patch.bytes);
      const { directory, transaction } = await rig.update(NEW);
      assert.deepEqual(listing(directory), tree);
      assert.equal(sent(rig), patch.bytes.length);
      const { sizeBytes } = indexPart();
      assert.ok(sizeBytes < indexBytes / 4, `${sizeBytes} bytes of ${indexBytes}`);
      assert.equal(transaction.bytesFetched, patch.bytes.length);
      assert.equal(transaction.requests, 2);
      assert.deepEqual(readdirSync(rig.layout.downloadsDirectory), []);
    });
  });

  test('goes on from what is on the disk when gwe is stopped in between', async () => {
    await withRig(async (rig) => {
      rig.put(patch.id, patch.bytes);
      const stop = new AbortController();
      rig.cut = (served) => {
        if (served.length === 1) stop.abort();
        return undefined;
      };
      await assert.rejects(rig.update(NEW, { signal: stop.signal }), GweError);
      rig.cut = () => undefined;
      const kept = rig.served[0]?.sentBytes ?? 0;
      rig.served.length = 0;
      const { directory } = await rig.update(NEW, { tx: 'tx2' });
      assert.deepEqual(listing(directory), tree);
      assert.deepEqual(rig.served, [
        { range: `bytes=${kept}-${patch.bytes.length - 1}`, sentBytes: patch.bytes.length - kept },
      ]);
    });
  });

  test('takes the index of the tarball where there is no patch, and asks for that once', async () => {
    await withRig(async (rig) => {
      const { directory, transaction } = await rig.update(NEW);
      assert.deepEqual(listing(directory), tree);
      assert.equal(transaction.requests, rig.served.length + 1, 'the question that was answered by no');
    });
  });

  test('takes the index of the tarball where that has been signed again by the key that counts', async () => {
    const by = (keys: (typeof alice)[]): Promise<Buffer> => tarballOf('2', keys);
    writeFileSync(join(root, NEW), await by([bob]));
    const { signal } = new AbortController();
    const output = join(root, 'bob.patch');
    await makePairPatch(join(root, OLD), join(root, NEW), { signal, output });
    await withRig(async (rig) => {
      rig.put(patch.id, readFileSync(output));
      const { directory } = await rig.update(NEW);
      assert.deepEqual(listing(directory), tree);
      assert.match(rig.log.join(''), /patch\.skip.*sign/);
    });
  });

  test('takes the index of the tarball where that in the patch is damaged, another, or more than may be', async () => {
    const index = indexPart();
    const damaged = Buffer.from(patch.bytes);
    damaged[index.offset + 20] = (damaged[index.offset + 20] ?? 0) ^ 1;
    const evil = [
      [damaged, /a part of \d+ bytes with another digest/],
      [withIndexPart({ manifestBytes: index.manifestBytes - 1 }), /makes more than|another manifest/],
      [withIndexPart({ signatureBytes: index.signatureBytes + 1 }), /makes less than its chunks/],
      [
        withIndexPart({ manifestBytes: DEFAULT_LIMITS.manifestBytes + 1 }),
        /manifest\.json.* bytes, expected/,
      ],
      [withIndexPart({ signatureBytes: 2 ** 27 }), /signatures\.json.* bytes, expected/],
    ] as const;
    for (const [bytes, complaint] of evil) {
      await withRig(async (rig) => {
        rig.put(patch.id, bytes);
        const { directory } = await rig.update(NEW);
        assert.deepEqual(listing(directory), tree);
        assert.match(rig.log.join(''), complaint);
      });
    }
  });
});
