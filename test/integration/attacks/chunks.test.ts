/**
 * Attacks on updates that are fetched in parts: a platform that lies about the index or about what is behind it, against
 * a gateway that trusts keys. Whatever it answers, nothing but what was signed gets among the versions.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { readIndexBytes } from '../../../src/artifact/chunks/index-bytes.ts';
import { DEFAULT_LIMITS } from '../../../src/artifact/limits.ts';
import { manifestMember, signaturesMember } from '../../../src/artifact/make/pack-indexed.ts';
import { type ArtifactFacts, chunkDigest, renderManifest } from '../../../src/artifact/manifest/manifest.ts';
import { manifestDigest } from '../../../src/artifact/manifest/meta-files.ts';
import {
  addSignature,
  createSigner,
  type KeyPair,
  readPrivateKey,
} from '../../../src/artifact/manifest/signature.ts';
import { GweError } from '../../../src/base/errors.ts';
import { createDeltaRig, type DeltaRig, listing } from '../../helpers/delta-rig.ts';
import { type Entries, makeIndexed, newKey } from '../../helpers/indexed.ts';

const [alice, mallory] = [newKey(), newKey()];
const BIG = randomBytes(1_500_000);
/** More than any index here, and far less than the tarball. */
const INDEX_SHARE = 64 * 1024;

const tree = (version: string, big: Buffer = BIG): Entries => ({
  'install.sh': '#!/bin/sh\nexit 0\n',
  VERSION: version,
  'lib/big': { content: big },
});
const signed = (facts: Partial<ArtifactFacts>, big?: Buffer, by: KeyPair[] = [alice]): Promise<Buffer> =>
  makeIndexed({ name: 'app', version: '2', ...facts }, tree(facts.version ?? '2', big), by);

/** A gateway that trusts alice and has version 1. */
async function withGateway(attack: (rig: DeltaRig) => Promise<void>): Promise<void> {
  const rig = await createDeltaRig();
  try {
    mkdirSync(rig.layout.keysDirectory, { recursive: true });
    writeFileSync(join(rig.layout.keysDirectory, 'alice.pub'), alice.publicKey);
    await rig.install('app.v1.tar.gz', await signed({ version: '1' }, randomBytes(1000)));
    await attack(rig);
  } finally {
    await rig.close();
  }
}

const sentBytes = (rig: DeltaRig): number => rig.served.reduce((sum, { sentBytes }) => sum + sentBytes, 0);

/** In one request or, where it is longer than thought, in two. */
function assertNoMoreThanIndex(rig: DeltaRig): void {
  assert.ok(sentBytes(rig) < INDEX_SHARE && rig.served.length <= 2, JSON.stringify(rig.served));
}

/** Version 2 fails with one of `codes`, and nothing of it is among the versions. */
async function assertRefused(rig: DeltaRig, ...codes: string[]): Promise<GweError> {
  const error: unknown = await rig.update('app.v2.tar.gz').then(
    () => undefined,
    (caught: unknown) => caught,
  );
  assert.ok(error instanceof GweError && codes.includes(error.code), String(error));
  const versions = readdirSync(join(rig.layout.appsDirectory, 'app')).filter((name) => name.startsWith('2-'));
  assert.deepEqual(versions, []);
  return error;
}

function indexOf(tarball: Buffer) {
  const found = readIndexBytes(tarball.subarray(0, INDEX_SHARE), tarball.length, DEFAULT_LIMITS);
  assert.ok(found.kind === 'chunks');
  return found;
}

/** The index of one tarball in front of what stands there in the other; as long as the first. */
function chimera(index: Buffer, rest: Buffer): Buffer {
  const { indexBytes } = indexOf(index);
  const filler = Buffer.alloc(index.length);
  return Buffer.concat([index.subarray(0, indexBytes), rest.subarray(indexBytes), filler]).subarray(
    0,
    index.length,
  );
}

/** The chunks of `tarball`, compressed. */
function membersOf(tarball: Buffer): Buffer[] {
  return Array.from(indexOf(tarball).chunks, ({ fileOffset, compressedBytes }) =>
    tarball.subarray(fileOffset, fileOffset + compressedBytes),
  );
}

/** A tarball of these chunks whose manifest is that of `tarball` except for its table; signed again, if at all. */
async function rebuilt(tarball: Buffer, members: readonly Buffer[], by?: KeyPair): Promise<Buffer> {
  const { manifest } = indexOf(tarball).index;
  const chunks = members.map((member): [number, number, string] => {
    const bytes = gunzipSync(member);
    return [bytes.length, member.length, chunkDigest(bytes)];
  });
  const text = renderManifest({ ...manifest, chunks });
  const signer = by && createSigner(readPrivateKey(by.privateKey, undefined, 'test'));
  const signatures = signer === undefined ? [] : await addSignature([], manifestDigest(text), signer);
  return Buffer.concat([await manifestMember(text), await signaturesMember(signatures), ...members]);
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

test('what trusted keys have signed is fetched in parts and installed', async () => {
  await withGateway(async (rig) => {
    const good = await signed({});
    rig.put('app.v2.tar.gz', await rebuilt(good, membersOf(good), alice));
    const { directory } = await rig.update('app.v2.tar.gz');
    assert.ok('lib/big' in listing(directory));
    assert.ok(rig.served.length > 1, 'in parts');
  });
});

for (const [what, facts, by, code] of [
  ['arbitrary software: signed by a stranger', {}, mallory, 'ARTIFACT_UNTRUSTED'],
  ['arbitrary software: not signed', {}, undefined, 'ARTIFACT_UNTRUSTED'],
  ['wrong software: another app', { name: 'other' }, alice, 'ARTIFACT_UNSUITABLE'],
  ['mix-and-match: the index of another version', { version: '3' }, alice, 'ARTIFACT_UNSUITABLE'],
  ['wrong software: another CPU', { architectures: ['z80'] }, alice, 'ARTIFACT_UNSUITABLE'],
  ['freeze: an index that has expired', { expires: 1_000_000_000 }, alice, 'ARTIFACT_STALE'],
] as const) {
  test(`${what} is refused by the index alone, and nothing behind it is fetched`, async () => {
    await withGateway(async (rig) => {
      const more = 'architectures' in facts ? { architectures: [...facts.architectures] } : facts;
      rig.put('app.v2.tar.gz', await signed(more, BIG, by === undefined ? [] : [by]));
      await assertRefused(rig, code);
      assertNoMoreThanIndex(rig);
    });
  });
}

test('rollback: an index whose release is below the highest seen is refused on its own', async () => {
  await withGateway(async (rig) => {
    rig.put('app.v3.tar.gz', await signed({ version: '3', release: 5 }));
    await rig.update('app.v3.tar.gz');
    rig.served.length = 0;
    rig.put('app.v2.tar.gz', await signed({ release: 4 }));
    await assertRefused(rig, 'ARTIFACT_STALE');
    assertNoMoreThanIndex(rig);
  });
});

test('the signatures of one index do not do for another', async () => {
  await withGateway(async (rig) => {
    const [good, evil] = [await signed({}), await signed({}, randomBytes(1_500_000), [mallory])];
    const { index } = indexOf(good);
    const { manifest } = indexOf(evil).index;
    const head = [await manifestMember(renderManifest(manifest)), await signaturesMember(index.signatures)];
    rig.put('app.v2.tar.gz', Buffer.concat([...head, ...membersOf(evil)]));
    await assertRefused(rig, 'ARTIFACT_UNTRUSTED');
    assertNoMoreThanIndex(rig);
  });
});

test('a range that is answered with other bytes is refused by the chunk, and what was right before it is kept', async () => {
  await withGateway(async (rig) => {
    const good = await signed({});
    const at = indexOf(good).chunks.at(6);
    assert.ok(at !== undefined);
    rig.put('app.v2.tar.gz', flipped(good, at.fileOffset + 5000));
    const error = await assertRefused(rig, 'DOWNLOAD_DIGEST');
    assert.match(error.message, /are not chunk 6 of its manifest/);
    rig.put('app.v2.tar.gz', good);
    const { directory } = await rig.update('app.v2.tar.gz', { tx: 'tx2' });
    assert.ok(existsSync(join(directory, 'lib/big')));
  });
});

test("the command's sha256 is that of the manifest or of the tarball, also where keys are trusted and the area says nothing", async () => {
  const good = await signed({});
  const ofTarball = createHash('sha256').update(good).digest('hex');
  const other = createHash('sha256').update('x').digest('hex');
  for (const [expectedSha256, meta, isGood] of [
    [ofTarball, '', true],
    [indexOf(good).index.digest, '', true],
    [other, '', false],
    [other, `MANIFEST-SHA256:${other}`, false],
  ] as const) {
    await withGateway(async (rig) => {
      rig.put('app.v2.tar.gz', good, meta);
      const update = rig.update('app.v2.tar.gz', { expectedSha256 });
      if (isGood) await update;
      else
        await assert.rejects(
          update,
          (error) => error instanceof GweError && error.code === 'DOWNLOAD_DIGEST',
        );
    });
  }
});

test("the manifest's digest in the command is found in a tarball that is fetched whole", async () => {
  await withGateway(async (rig) => {
    rig.hasRanges = false;
    const good = await signed({});
    rig.put('app.v2.tar.gz', good);
    await rig.update('app.v2.tar.gz', { expectedSha256: indexOf(good).index.digest });
  });
});

test('endless data: chunks that are bombs are inflated no further than the table says', async () => {
  await withGateway(async (rig) => {
    const good = await signed({});
    const { chunks } = indexOf(good);
    const bomb = gzipSync(Buffer.alloc(60 * 2 ** 20));
    const evil = Buffer.from(good);
    for (const { fileOffset, compressedBytes } of chunks) {
      if (compressedBytes > bomb.length) bomb.copy(evil, fileOffset);
    }
    assert.ok(!evil.equals(good), 'there is a chunk that takes the bomb');
    rig.put('app.v2.tar.gz', evil);
    const before = process.resourceUsage().maxRSS;
    await assertRefused(rig, 'DOWNLOAD_DIGEST');
    const grownMib = (process.resourceUsage().maxRSS - before) / 1024;
    assert.ok(grownMib < 50, `${grownMib} MiB`);
  });
});

test('a signed table whose chunks are not what the entries say is refused when the file ends', async () => {
  await withGateway(async (rig) => {
    const good = await signed({});
    const members = membersOf(good);
    const at = 4;
    const other = gzipSync(flipped(gunzipSync(members[at] ?? Buffer.alloc(0)), 2000));
    const evil = await rebuilt(good, [...members.slice(0, at), other, ...members.slice(at + 1)], alice);
    rig.put('app.v2.tar.gz', evil);
    await assertRefused(rig, 'ARTIFACT_MANIFEST');
  });
});

test('a signed table whose chunks hold other headers than the entries is refused', async () => {
  await withGateway(async (rig) => {
    const good = await signed({});
    const [first = Buffer.alloc(0), ...rest] = membersOf(good);
    const bytes = gunzipSync(first);
    // A path in the first header: the file would be written under another name.
    const evil = await rebuilt(good, [gzipSync(flipped(bytes, 0)), ...rest], alice);
    rig.put('app.v2.tar.gz', evil);
    await assertRefused(rig, 'ARTIFACT_MANIFEST', 'ARTIFACT_FORMAT');
  });
});

test('freeze: an old index of the same version with new chunks behind it is refused', async () => {
  await withGateway(async (rig) => {
    const [old, fresh] = [await signed({ release: 1 }), await signed({ release: 2 }, randomBytes(1_500_000))];
    rig.put('app.v2.tar.gz', chimera(old, fresh));
    await assertRefused(rig, 'DOWNLOAD_DIGEST');
  });
});

test('freeze: a new index with the old chunks behind it is refused', async () => {
  await withGateway(async (rig) => {
    const [old, fresh] = [await signed({ release: 1 }, randomBytes(1_500_000)), await signed({ release: 2 })];
    rig.put('app.v2.tar.gz', chimera(fresh, old));
    await assertRefused(rig, 'DOWNLOAD_DIGEST');
  });
});

test('a file of an installed app that was made to look like a chunk does not pass for it', async () => {
  await withGateway(async (rig) => {
    const good = await signed({}, BIG);
    rig.put('app.v2.tar.gz', good);
    const first = await rig.update('app.v2.tar.gz');
    // The index of chunks still says that the file has them.
    writeFileSync(join(first.directory, 'lib/big'), flipped(BIG, 700_000));
    rig.put('app.v3.tar.gz', await signed({ version: '3' }, BIG));
    const { directory } = await rig.update('app.v3.tar.gz', { tx: 'tx2' });
    const [one, two] = [listing(first.directory), listing(directory)];
    assert.notEqual(one['lib/big'], two['lib/big']);
    assert.match(
      two['lib/big'] ?? '',
      new RegExp(
        Array.from(indexOf(good).index.manifest.entries, (entry) =>
          entry.path === 'lib/big' && entry.type === 'file' ? entry.sha256 : '',
        ).join(''),
      ),
    );
  });
});

test('freeze: a clock that was set back makes nothing fresh that expired before the latest time that is certain', async () => {
  const expires = 1_000_000_000;
  for (const [floorMs, isRefused] of [
    [(expires + 1) * 1000, true],
    [(expires - 1) * 1000, false],
  ] as const) {
    await withGateway(async (rig) => {
      const { context } = rig;
      rig.context = {
        ...context,
        clock: { ...context.clock, wallMs: () => 0 },
        clockFloor: { ...context.clockFloor, floorMs: () => floorMs },
      };
      rig.put('app.v2.tar.gz', await signed({ expires }));
      if (isRefused) await assertRefused(rig, 'ARTIFACT_STALE');
      else await rig.update('app.v2.tar.gz');
    });
  }
});
