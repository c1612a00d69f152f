/** Updates by chunks against a full download: the same tree, for the bytes that are missing and no others. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { MOST_AHEAD } from '../../../../src/agent/fetch/assemble-chunks.ts';
import { GAP_BYTES } from '../../../../src/agent/fetch/assess.ts';
import type { PlacedChunk } from '../../../../src/artifact/chunks/chunk-table.ts';
import { readIndexBytes } from '../../../../src/artifact/chunks/index-bytes.ts';
import { DEFAULT_LIMITS } from '../../../../src/artifact/limits.ts';
import { entryHeaders } from '../../../../src/artifact/manifest/manifest.ts';
import { entryHeaderBytes, paddingBytes } from '../../../../src/artifact/tar/writer.ts';
import { extractArtifact } from '../../../../src/artifact/unpack/extract.ts';
import { GweError } from '../../../../src/base/errors.ts';
import { createDeltaRig, type DeltaRig, listing } from '../../../helpers/delta-rig.ts';
import { type Entries, makeIndexed } from '../../../helpers/indexed.ts';
import { makeTarball } from '../../../helpers/tarball.ts';

const BIG = randomBytes(1_500_000);
const INSTALL = '#!/bin/sh\nexit 0\n';

function tree(version: string, big: Buffer = BIG, note = ''): Entries {
  const small = Object.fromEntries(
    Array.from({ length: 60 }, (_, at) => [`share/${at}.txt`, `${at} `.repeat(at * 30)]),
  );
  return {
    'install.sh': INSTALL,
    VERSION: version + note,
    'lib/big': { content: big, mode: 0o600 },
    ...small,
  };
}

function changed(bytes: Buffer, ...at: number[]): Buffer {
  const copy = Buffer.from(bytes);
  for (const each of at) copy[each] = (copy[each] ?? 0) ^ 0x55;
  return copy;
}

const indexed = (version: string, entries: Entries): Promise<Buffer> =>
  makeIndexed({ name: 'app', version }, entries);

async function withRig(
  use: (rig: DeltaRig) => Promise<void>,
  settings: Readonly<Record<string, string | number>> = {},
): Promise<void> {
  const rig = await createDeltaRig(settings);
  try {
    await use(rig);
  } finally {
    await rig.close();
  }
}

const sent = (rig: DeltaRig): number => rig.served.reduce((sum, { sentBytes }) => sum + sentBytes, 0);

/** What the whole tarball unpacks to. */
async function fullTree(bytes: Buffer): Promise<Record<string, string>> {
  const root = mkdtempSync(join(tmpdir(), 'gwe-full-'));
  try {
    writeFileSync(join(root, 'tarball'), bytes);
    await extractArtifact(join(root, 'tarball'), join(root, 'tree'), { limits: DEFAULT_LIMITS });
    return listing(join(root, 'tree'));
  } finally {
    rmSync(root, { recursive: true });
  }
}

describe('an update by chunks', () => {
  test('fetches the index and what has changed, and gives the tree of a full download', async () => {
    await withRig(async (rig) => {
      await rig.install('app.v1.tar.gz', await indexed('1', tree('1')));
      const next = await indexed('2', tree('2', changed(BIG, 700_000)));
      rig.put('app.v2.tar.gz', next);
      const { directory, transaction } = await rig.update('app.v2.tar.gz');
      assert.deepEqual(listing(directory), await fullTree(next));
      assert.equal(transaction.bytesFetched, sent(rig));
      assert.equal(transaction.requests, rig.served.length + 1, 'and the question for a patch');
      assert.equal(transaction.bytesFull, next.length);
      assert.ok(sent(rig) < next.length / 4, `${sent(rig)} of ${next.length}`);
      assert.equal(Number(transaction.bytesReused) + sent(rig), next.length);
      assert.deepEqual(
        readdirSync(join(rig.layout.appsDirectory, 'app')).filter((name) => name.startsWith('.part')),
        [],
      );
      assert.deepEqual(readdirSync(rig.layout.downloadsDirectory), []);
    });
  });

  test('goes on where a connection broke, also in another process, and fetches no chunk twice', async () => {
    await withRig(async (rig) => {
      await rig.install('app.v1.tar.gz', await indexed('1', tree('1')));
      const next = await indexed('2', tree('2', randomBytes(1_500_000)));
      rig.put('app.v2.tar.gz', next);
      // Breaks off again and again; given up in the end, as if for the day.
      rig.cut = (served) => (served.length < 6 ? 150_000 : 0);
      await assert.rejects(
        rig.update('app.v2.tar.gz'),
        (error) => error instanceof GweError && error.code === 'DOWNLOAD_INCOMPLETE',
      );
      const before = sent(rig);
      assert.ok(before > 500_000 && before < next.length, `${before}`);
      rig.cut = () => undefined;
      const { directory } = await rig.update('app.v2.tar.gz', { tx: 'tx2' });
      assert.deepEqual(listing(directory), await fullTree(next));
      // At most the chunk in the middle of which it was given up comes twice.
      assert.ok(sent(rig) < next.length + 512 * 1024, `${sent(rig)} of ${next.length}`);
    });
  });

  test('does not use what an app has changed, removed or cut off', async () => {
    await withRig(async (rig) => {
      const old = await rig.install('app.v1.tar.gz', await indexed('1', tree('1')));
      writeFileSync(join(old, 'lib/big'), changed(BIG, 10, 800_000));
      truncateSync(join(old, 'share/59.txt'), 5);
      const next = await indexed('2', tree('2'));
      rig.put('app.v2.tar.gz', next);
      const { directory, transaction } = await rig.update('app.v2.tar.gz');
      assert.deepEqual(listing(directory), await fullTree(next));
      assert.ok(sent(rig) < next.length / 2, `${sent(rig)} of ${next.length}`);
      assert.equal(transaction.bytesFetched, sent(rig));
    });
  });

  test('rebuilds a missing, damaged or stale index of chunks', async () => {
    await withRig(async (rig) => {
      await rig.install('app.v1.tar.gz', await indexed('1', tree('1')));
      const file = join(rig.layout.stateDirectory, 'chunks.idx');
      for (const [turn, spoil] of [
        () => undefined,
        () => writeFileSync(file, 'nonsense'),
        () => writeFileSync(file, changed(readFileSync(file), 60)),
      ].entries()) {
        spoil();
        rig.served.length = 0;
        const next = await indexed(`${turn + 2}`, tree(`${turn + 2}`, changed(BIG, 700_000)));
        rig.put(`app.v${turn + 2}.tar.gz`, next);
        await rig.update(`app.v${turn + 2}.tar.gz`, { tx: `tx${turn}` });
        assert.ok(sent(rig) < next.length / 4, `turn ${turn}: ${sent(rig)} of ${next.length}`);
        assert.ok(existsSync(file));
      }
    });
  });

  test('a server without ranges costs one full download, with the reason in the log', async () => {
    await withRig(async (rig) => {
      await rig.install('app.v1.tar.gz', await indexed('1', tree('1')));
      const next = await indexed('2', tree('2', changed(BIG, 700_000)));
      rig.put('app.v2.tar.gz', next);
      rig.hasRanges = false;
      const { directory } = await rig.update('app.v2.tar.gz');
      assert.deepEqual(listing(directory), await fullTree(next));
      assert.match(rig.log.join(''), /download\.whole .*ignores ranges/);
    });
  });

  test('delta_fallback refuses what would come as a whole, with the numbers', async () => {
    const next = await indexed('2', tree('2', randomBytes(1_500_000)));
    for (const [policy, isRefused] of [
      ['fail', true],
      ['full-below 1000000', true],
      ['full-below 2000000', false],
      ['full', false],
    ] as const) {
      await withRig(
        async (rig) => {
          await rig.install('app.v1.tar.gz', await indexed('1', tree('1')));
          rig.put('app.v2.tar.gz', next);
          const update = rig.update('app.v2.tar.gz');
          if (!isRefused) await update;
          else
            await assert.rejects(update, /15\d{5} bytes would come .*\(delta_full_above\).*delta_fallback/);
        },
        { delta_fallback: policy },
      );
    }
  });
});

test('a version that was packed by hand is of use as well, and what an app adds to it does no harm', async () => {
  await withRig(async (rig) => {
    const files = { 'install.sh': { content: INSTALL, mode: 0o755 }, 'lib/big': { content: BIG } };
    const old = await rig.install('app.v1.tar.gz', makeTarball(files));
    const next = await indexed('2', tree('2', changed(BIG, 700_000)));
    rig.put('app.v2.tar.gz', next);
    const { directory } = await rig.update('app.v2.tar.gz');
    assert.deepEqual(listing(directory), await fullTree(next));
    assert.ok(sent(rig) < next.length / 4, `${sent(rig)} of ${next.length}`);
    writeFileSync(join(old, 'a.log'), 'written by the app');
    rig.served.length = 0;
    const third = await indexed('3', tree('3', changed(BIG, 900_000)));
    rig.put('app.v3.tar.gz', third);
    await rig.update('app.v3.tar.gz', { tx: 'tx3' });
    assert.ok(sent(rig) < third.length / 4, `${sent(rig)} of ${third.length}`);
  });
});

test('digests in the meta and in the command decide between chunks and the whole tarball', async () => {
  const first = await indexed('1', tree('1'));
  const next = await indexed('2', tree('2', changed(BIG, 700_000)));
  const found = readIndexBytes(next, next.length, DEFAULT_LIMITS);
  const manifest = found.kind === 'chunks' ? found.index.digest : '';
  const tarball = createHash('sha256').update(next).digest('hex');
  const both = `SHA256:${tarball} MANIFEST-SHA256:${manifest}`;
  const wrong = '0'.repeat(64);
  for (const [meta, expectedSha256, outcome] of [
    [`SHA256:${tarball}`, undefined, 'whole'],
    [both, undefined, 'chunks'],
    [both, manifest, 'chunks'],
    [both, tarball, 'whole'],
    ['', manifest, 'chunks'],
    ['', tarball, 'whole'],
    [`SHA256:${tarball} MANIFEST-SHA256:${wrong}`, undefined, 'DOWNLOAD_DIGEST'],
    [both, wrong, 'DOWNLOAD_DIGEST'],
    ['', wrong, 'DOWNLOAD_DIGEST'],
  ] as const) {
    await withRig(async (rig) => {
      await rig.install('app.v1.tar.gz', first);
      rig.put('app.v2.tar.gz', next, meta);
      const pinned = expectedSha256 === undefined ? {} : { expectedSha256 };
      const update = rig.update('app.v2.tar.gz', pinned);
      const what = `${meta} ${expectedSha256}`;
      if (outcome === 'DOWNLOAD_DIGEST') {
        await assert.rejects(update, (error) => error instanceof GweError && error.code === outcome, what);
      } else {
        await update;
        assert.equal(sent(rig) < next.length / 2, outcome === 'chunks', what);
        // Of a whole tarball the last four bytes are asked for first: its unpacked size.
        assert.ok(sent(rig) <= next.length + 4, `${what}: nothing else comes twice`);
      }
    });
  }
});

test('an item that is replaced in the middle is fetched from the start with its own index', async () => {
  await withRig(async (rig) => {
    await rig.install('app.v1.tar.gz', await indexed('1', tree('1')));
    rig.put('app.v2.tar.gz', await indexed('2', tree('2', changed(BIG, 300_000, 900_000))));
    const other = await indexed('2', tree('2', changed(BIG, 500_000, 1_100_000), 'another'));
    rig.cut = (served) => {
      if (served.length === 1) rig.put('app.v2.tar.gz', other);
      return undefined;
    };
    await assert.rejects(
      rig.update('app.v2.tar.gz'),
      (error) => error instanceof GweError && error.code === 'DOWNLOAD_CHANGED',
    );
    const { directory } = await rig.update('app.v2.tar.gz', { tx: 'tx2' });
    assert.deepEqual(listing(directory), await fullTree(other));
  });
});

/** Numbers that look random and are the same for the same seed. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return Math.floor((state / 0x8000_0000) * below);
  };
}

function randomContent(random: (below: number) => number, bytes: number): Buffer {
  const content = Buffer.alloc(bytes);
  // Half of it compresses: words of four bytes that come again and again.
  for (let at = 0; at < bytes; at++) content[at] = random(2) === 0 ? random(256) : (content[at - 4] ?? 0);
  return content;
}

function randomTree(random: (below: number) => number): Map<string, { content: Buffer; mode: number }> {
  const files = new Map<string, { content: Buffer; mode: number }>();
  files.set('install.sh', { content: Buffer.from(INSTALL), mode: 0o755 });
  for (let count = 3 + random(25); count > 0; count--) {
    const size = random(4) === 0 ? random(400_000) : random(5000);
    const path = `d${random(4)}/${'x'.repeat(random(3) * 60)}f${random(1000)}`;
    files.set(path, { content: randomContent(random, size), mode: random(2) === 0 ? 0o644 : 0o750 });
  }
  return files;
}

type Files = ReturnType<typeof randomTree>;

/** The next version: files edited, grown in the middle, added, removed, renamed, or with another mode. */
function mutate(random: (below: number) => number, old: Files): Files {
  const files = new Map(old);
  for (const [path, { content, mode }] of old) {
    if (path === 'install.sh') continue;
    const what = random(12);
    const at = random(content.length + 1);
    const insert = randomContent(random, random(3000));
    if (what === 0) files.delete(path);
    if (what === 1) files.set(path, { content: changed(content, at % (content.length || 1)), mode });
    if (what === 2)
      files.set(path, {
        content: Buffer.concat([content.subarray(0, at), insert, content.subarray(at)]),
        mode,
      });
    if (what === 3) files.set(path, { content, mode: mode ^ 0o011 });
    if (what === 4) {
      files.delete(path);
      files.set(`${path}-renamed`, { content, mode });
    }
    if (what === 5) files.set(`new/${path}`, { content: insert, mode });
  }
  return files;
}

const ROUNDS = Number(process.env.GWE_TEST_ROUNDS ?? 4);
const SEED = Number(process.env.GWE_TEST_SEED ?? Date.now() % 1_000_000);

test(`random pairs of trees and random cuts: the tree of a full download, and no byte too many (seed ${SEED})`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const random = createRandom(SEED + round);
    const old = randomTree(random);
    const oldBytes = await indexed('1', Object.fromEntries(old));
    const next = await indexed('2', Object.fromEntries(mutate(random, old)));
    const isCut = round % 2 === 1;
    await withRig(
      async (rig) => {
        await rig.install('app.v1.tar.gz', oldBytes);
        rig.put('app.v2.tar.gz', next);
        const cuts = isCut ? random(6) : 0;
        rig.cut = (served) => (served.length < cuts ? random(200_000) : undefined);
        let tries = 0;
        let isDone = false;
        while (!isDone) {
          const stop = new AbortController();
          if (isCut && tries < 2 && random(2) === 0) setTimeout(() => stop.abort(), random(300));
          const update = rig.update('app.v2.tar.gz', { tx: `tx${tries}`, signal: stop.signal });
          tries += 1;
          const result = await update.catch((error: unknown) => error);
          if (result instanceof GweError && result.code === 'CANCELLED' && tries < 10) continue;
          if (result instanceof Error) throw result;
          isDone = true;
          const { directory, transaction } = result as Awaited<ReturnType<DeltaRig['update']>>;
          assert.deepEqual(listing(directory), await fullTree(next), `round ${round}`);
          if (!isCut) {
            assert.equal(transaction.bytesFetched, expectedBytes(rig, oldBytes, next), `round ${round}`);
            assert.equal(transaction.bytesFetched, sent(rig));
          }
        }
      },
      { delta_full_above: isCut && random(2) === 0 ? 50 : 100 },
    );
  }
});

/** Where in the body the contents of files are. */
function contentStretches(tarball: Buffer): [start: number, end: number][] {
  const found = readIndexBytes(tarball, tarball.length, DEFAULT_LIMITS);
  const stretches: [number, number][] = [];
  let at = 0;
  for (const header of entryHeaders(found.kind === 'chunks' ? found.index.manifest.entries : [])) {
    at += entryHeaderBytes(header);
    if (header.sizeBytes > 0) stretches.push([at, at + header.sizeBytes]);
    at += header.sizeBytes + paddingBytes(header.sizeBytes);
  }
  return stretches;
}

/** The first answer, the chunks that the old version does not have, and what lies between two of them that are near. */
function expectedBytes(rig: DeltaRig, oldBytes: Buffer, next: Buffer): number {
  const tableOf = (bytes: Buffer): PlacedChunk[] => {
    const found = readIndexBytes(bytes, bytes.length, DEFAULT_LIMITS);
    assert.equal(found.kind, 'chunks');
    return found.kind === 'chunks' ? [...found.chunks] : [];
  };
  const had = new Set(tableOf(oldBytes).map(({ digest }) => digest));
  let head = 0;
  for (const { sentBytes } of rig.served) {
    if (readIndexBytes(next.subarray(0, head), next.length, DEFAULT_LIMITS).kind === 'chunks') break;
    head += sentBytes;
  }
  const wanted = new Uint8Array(next.length);
  wanted.fill(1, 0, head);
  let end = -Infinity;
  const all = tableOf(next);
  const contents = contentStretches(next);
  const digests = all.map(({ digest }) => digest);
  const missing = all.filter(
    ({ digest, fileOffset, compressedBytes, offset, sizeBytes }, at) =>
      !had.has(digest) &&
      fileOffset + compressedBytes > head &&
      // One that is like an earlier one has been unpacked by then; headers alone are what the manifest says.
      digests.indexOf(digest) >= at - MOST_AHEAD &&
      contents.some(([start, end]) => start < offset + sizeBytes && offset < end),
  );
  for (const { fileOffset, compressedBytes } of missing) {
    const isNear = fileOffset - end <= GAP_BYTES;
    wanted.fill(1, Math.max(head, isNear ? end : fileOffset), fileOffset + compressedBytes);
    end = fileOffset + compressedBytes;
  }
  return wanted.reduce((sum, each) => sum + each, 0);
}

test('a flipped bit in the tarball, a seed, the index of chunks or what was kept is harmless or refused', async () => {
  const random = createRandom(SEED);
  const first = await indexed('1', tree('1'));
  const next = await indexed('2', tree('2', changed(BIG, 700_000)));
  const good = await fullTree(next);
  const flip = (bytes: Buffer): Buffer => {
    const copy = Buffer.from(bytes);
    const at = random(3) === 0 ? random(Math.min(bytes.length, 6000)) : random(bytes.length);
    copy[at] = (copy[at] ?? 0) ^ (1 << random(8));
    return copy;
  };
  const flipFile = (path: string): void => writeFileSync(path, flip(readFileSync(path)));
  for (let round = 0; round < ROUNDS * 2; round++) {
    await withRig(async (rig) => {
      const old = await rig.install('app.v1.tar.gz', first);
      const where = ['tarball', 'seed', 'manifest of a seed', 'index of chunks', 'kept index'][round % 5];
      rig.put('app.v2.tar.gz', where === 'tarball' ? flip(next) : next);
      if (where === 'seed') for (const name of ['lib/big', 'share/40.txt']) flipFile(join(old, name));
      if (where === 'manifest of a seed') flipFile(join(old, '.gwe/manifest.json'));
      if (where === 'index of chunks' || where === 'kept index') {
        // A first try that ends in the middle leaves both.
        rig.cut = (served) => (served.length < 2 ? undefined : 0);
        await rig.update('app.v2.tar.gz').catch(() => undefined);
        rig.cut = () => undefined;
        const kept = join(rig.layout.downloadsDirectory, 'app.v2.tar.gz.index');
        const file = where === 'kept index' ? kept : join(rig.layout.stateDirectory, 'chunks.idx');
        if (existsSync(file)) flipFile(file);
      }
      const result = await rig.update('app.v2.tar.gz', { tx: 'tx2' }).catch((error: unknown) => error);
      if (result instanceof Error) {
        assert.equal(where, 'tarball', String(result));
        assert.ok(result instanceof GweError && result.isRejection, String(result));
        assert.deepEqual(
          readdirSync(join(rig.layout.appsDirectory, 'app')).filter((name) => name.startsWith('.part')),
          [],
        );
      } else {
        const { directory } = result as Awaited<ReturnType<DeltaRig['update']>>;
        assert.deepEqual(listing(directory), good, where);
      }
    });
  }
});
