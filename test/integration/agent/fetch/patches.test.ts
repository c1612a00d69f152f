/** Updates by a patch against a full download: the same tree, for the bytes of the patch, and chunks where it is no good. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { DEFAULT_LIMITS } from '../../../../src/artifact/limits.ts';
import { makePairPatch } from '../../../../src/artifact/patch/pair.ts';
import { extractArtifact } from '../../../../src/artifact/unpack/extract.ts';
import { GweError } from '../../../../src/base/errors.ts';
import { createDeltaRig, type DeltaRig, listing } from '../../../helpers/delta-rig.ts';
import { createGateway, FROM_SOURCE } from '../../../helpers/gateway.ts';
import { makeIndexed } from '../../../helpers/indexed.ts';
import { startPlatform } from '../../../helpers/platform.ts';

const PROGRAM = randomBytes(3_000_000);
const OLD = 'app.v1.tar.gz';
const NEW = 'app.v2.tar.gz';

/** As a compiler leaves it: a byte here and there is another, all over. */
function rebuilt(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  let next = 1;
  for (let at = 50; at < copy.length; at += 40 + (next % 120)) {
    next = (next * 16_807) % 2_147_483_647;
    copy[at] = (copy[at] ?? 0) + 1 + (next % 251);
  }
  return copy;
}

interface World {
  old: Buffer;
  next: Buffer;
  patch: Buffer;
  patchId: string;
  tree: Record<string, string>;
}

let world: World;
const root = mkdtempSync(join(tmpdir(), 'gwe-patches-'));

before(async () => {
  const entries = (program: Buffer) => ({
    'install.sh': '#!/bin/sh\nexit 0\n',
    'bin/program': { content: program, mode: 0o755 },
  });
  const old = await makeIndexed({ name: 'app', version: '1' }, entries(PROGRAM));
  const next = await makeIndexed({ name: 'app', version: '2' }, entries(rebuilt(PROGRAM)));
  writeFileSync(join(root, OLD), old);
  writeFileSync(join(root, NEW), next);
  const { signal } = new AbortController();
  const { file } = await makePairPatch(join(root, OLD), join(root, NEW), { signal });
  assert.ok(file !== undefined);
  await extractArtifact(join(root, NEW), join(root, 'tree'), { limits: DEFAULT_LIMITS });
  const patchId = file.slice(root.length + 1);
  world = { old, next, patch: readFileSync(file), patchId, tree: listing(join(root, 'tree')) };
});
after(() => rmSync(root, { recursive: true, force: true }));

async function withRig(use: (rig: DeltaRig) => Promise<void>): Promise<void> {
  const rig = await createDeltaRig();
  try {
    await rig.install(OLD, world.old);
    rig.put(NEW, world.next);
    await use(rig);
  } finally {
    await rig.close();
  }
}

const sent = (rig: DeltaRig): number => rig.served.reduce((sum, { sentBytes }) => sum + sentBytes, 0);

describe('an update by a patch', () => {
  test('gives the tree of a full download for the bytes of the patch', async () => {
    await withRig(async (rig) => {
      rig.put(world.patchId, world.patch);
      const { directory, transaction } = await rig.update(NEW);
      assert.deepEqual(listing(directory), world.tree);
      assert.ok(sent(rig) < world.patch.length + 8 * 1024, `${sent(rig)} bytes for ${world.patch.length}`);
      assert.equal(transaction.bytesFetched, sent(rig));
      assert.equal(transaction.requests, rig.served.length);
      const [note = ''] = transaction.notes.filter((each) => each.startsWith('by a patch from 1: '));
      assert.match(note, /^by a patch from 1: \d+ bytes, \d+ by chunks, \d+ as a whole$/);
      assert.deepEqual(readdirSync(rig.layout.downloadsDirectory), []);
    });
  });

  test('goes on where it broke off, and fetches no byte twice', async () => {
    await withRig(async (rig) => {
      rig.put(world.patchId, world.patch);
      const stop = new AbortController();
      rig.cut = (served) => {
        if (served.length < 2) return undefined;
        if (served.length === 3) stop.abort();
        return 10_000;
      };
      await assert.rejects(rig.update(NEW, { signal: stop.signal }), GweError);
      rig.cut = () => undefined;
      const { directory } = await rig.update(NEW, { tx: 'tx2' });
      assert.deepEqual(listing(directory), world.tree);
      // The first request is for the index. Of the one that gwe was stopped in, nothing had come yet.
      const starts = rig.served.slice(1).map(({ range = '' }) => Number(/=(\d+)-/.exec(range)?.[1]));
      assert.deepEqual(starts, [0, 16_384, 26_384, 26_384]);
    });
  });

  test('falls back to the chunks of a part that is damaged, and to no others', async () => {
    await withRig(async (rig) => {
      const damaged = Buffer.from(world.patch);
      damaged[damaged.length - 5] = (damaged[damaged.length - 5] ?? 0) ^ 1;
      rig.put(world.patchId, damaged);
      const { directory } = await rig.update(NEW);
      assert.deepEqual(listing(directory), world.tree);
      assert.ok(
        rig.log.some((line) => line.includes('patch.part')),
        rig.log.join(''),
      );
    });
  });

  test('falls back to chunks where the old version has been changed on the disk', async () => {
    await withRig(async (rig) => {
      rig.put(world.patchId, world.patch);
      const [app = ''] = readdirSync(rig.layout.appsDirectory);
      const [version = ''] = readdirSync(join(rig.layout.appsDirectory, app)).filter((name) =>
        name.startsWith('1-'),
      );
      const program = join(rig.layout.appsDirectory, app, version, 'bin/program');
      const bytes = readFileSync(program);
      bytes[1_000_000] = (bytes[1_000_000] ?? 0) ^ 1;
      writeFileSync(program, bytes);
      const { directory } = await rig.update(NEW);
      assert.deepEqual(listing(directory), world.tree);
      const extra = sent(rig) - world.patch.length;
      assert.ok(extra > 20_000 && extra < 600_000, `${extra} bytes besides the patch`);
    });
  });

  test('is not made by a patch of other versions, by something that is not a patch, or by one that is gone meanwhile', async () => {
    const other = Buffer.from(world.patch);
    other[20] = (other[20] ?? 0) ^ 1;
    for (const bytes of [other, Buffer.from('not a patch'), world.patch.subarray(0, 4000), Buffer.alloc(0)]) {
      await withRig(async (rig) => {
        rig.put(world.patchId, bytes);
        const { directory } = await rig.update(NEW);
        assert.deepEqual(listing(directory), world.tree);
      });
    }
    await withRig(async (rig) => {
      rig.put(world.patchId, world.patch);
      rig.cut = () => {
        if (rig.served.length === 1) rig.items.delete(world.patchId);
        return undefined;
      };
      const { directory } = await rig.update(NEW);
      assert.deepEqual(listing(directory), world.tree);
      assert.equal(existsSync(join(rig.layout.downloadsDirectory, `${NEW}.patch`)), false);
    });
  });
});

test('gwe plan says what each way of fetching would take', async (t) => {
  const platform = await startPlatform();
  t.after(() => platform.close());
  await platform.putContent('p1', NEW, world.next, '');
  await platform.putContent('p1', world.patchId, world.patch, '');
  const gateway = await createGateway(platform, { serial: 'planned' });
  t.after(() => gateway.remove());
  await platform.putContent('p1', OLD, world.old, '');
  gateway.start();
  await gateway.command(platform, JSON.stringify({ install: [{ name: OLD }] }));
  await gateway.stop();
  const [program = '', ...first] = FROM_SOURCE;
  const plan = async (...more: string[]): Promise<string> => {
    const env = { PATH: process.env.PATH ?? '', GWE_ROOT: gateway.root };
    return (await promisify(execFile)(program, [...first, 'plan', NEW, ...more], { env })).stdout;
  };
  const byPatch = /^fetch .* by a patch from 1 \([\d.]+ MB by chunks, [\d.]+ MB as a whole\)/ms;
  assert.match(await plan(), byPatch);
  const { tarball } = JSON.parse(await plan('--json'));
  const { whole, chunks, patch, patchFrom } = tarball.ways;
  assert.equal(whole, world.next.length);
  assert.equal(patchFrom, '1');
  assert.ok(patch < world.patch.length + 8192 && chunks > 0.9 * whole, JSON.stringify(tarball));
});
