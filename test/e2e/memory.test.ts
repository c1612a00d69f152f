/**
 * What an update may cost in memory does not depend on its size. By default the larger artifact is a tenth of what the
 * promise is about; GWE_MEMORY=full takes all of it.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createGateway, EXECUTABLE, type Gateway } from '../helpers/gateway.ts';
import { createGatewayDisk } from '../helpers/gateway-disk.ts';
import { makeIndexed } from '../helpers/indexed.ts';
import { writeIndexedTarball, writePlainTarball } from '../helpers/large-tarball.ts';
import { createMemoryCgroup, type MemoryCgroup } from '../helpers/memory-cgroup.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { watchProcess } from '../helpers/process-watch.ts';
import { INSTALL_OK } from '../helpers/tarball.ts';

const MIB = 2 ** 20;
const SMALL_MIB = 20;
const LARGE_MIB = process.env.GWE_MEMORY === 'full' ? 2000 : 200;
const GROUP_MIB = 64;
const GROUP_ARTIFACT_MIB = 200;

type Kind = 'plain' | 'indexed';

/** test/bench/README.md, "The table", whatever the artifact is. */
const MOST_MIB = 32;
const APART_MIB = 4;

/** As many as make a manifest of half a megabyte. */
const FILES = 2500;

/** One in twenty is another in each version. */
function manyFiles(version: string): Record<string, string> {
  const files: Record<string, string> = { 'install.sh': INSTALL_OK };
  for (let at = 0; at < FILES; at++) {
    const path = `lib/part${at % 61}/node_modules/some-package-${at % 17}/dist/file-number-${at}.js`;
    files[path] = `${at} ${at % 20 === 0 ? version : ''} `.repeat(1000);
  }
  return files;
}

/** What is installed one after the other: an indexed one, then the next version of it, which comes in parts. */
const VERSIONS: Readonly<Record<Kind, readonly string[]>> = { plain: ['p'], indexed: ['a', 'b'] };

describe('the memory of an update', () => {
  let platform: TestPlatform;
  let scratch: string;
  const there = new Set<string>();
  before(async () => {
    platform = await startPlatform({});
    scratch = mkdtempSync(join(tmpdir(), 'gwe-memory-'));
  });
  after(async () => {
    await platform?.close();
    rmSync(scratch, { recursive: true, force: true });
  });

  /** The platform has those artifacts of that size, and no others of the kind. */
  async function upload(kind: Kind, sizeMiB: number): Promise<readonly string[]> {
    const ids = VERSIONS[kind].map((version) => `big.v${sizeMiB}${version}.tar.gz`);
    for (const id of ids.filter((each) => !there.has(each))) {
      const path = join(scratch, id);
      const version = id.slice('big.v'.length, -'.tar.gz'.length);
      const bytes = sizeMiB * MIB;
      if (kind === 'plain') writePlainTarball(path, bytes);
      const digest =
        kind === 'plain' ? undefined : await writeIndexedTarball(path, { name: 'big', version }, bytes);
      const meta = digest === undefined ? undefined : `MANIFEST-SHA256:${digest}`;
      await platform.putContent('p1', id, readFileSync(path), meta);
      rmSync(path);
      there.add(id);
    }
    return ids;
  }

  /** Has the agent install it. */
  async function install(gateway: Gateway, id: string): Promise<void> {
    const report = await gateway.command(platform, JSON.stringify({ install: [{ name: id }] }), 600_000);
    const version = id.slice('big.v'.length, -'.tar.gz'.length);
    assert.ok(gateway.active('big')?.startsWith(`${version}-`), JSON.stringify(report));
  }

  /** The peaks of anonymous memory of an agent that starts, is told of an artifact and installs it: one for each version. */
  async function peaksMiB(kind: Kind, sizeMiB: number): Promise<number[]> {
    const ids = await upload(kind, sizeMiB);
    const gateway = await createGateway(platform, { command: [EXECUTABLE], serial: `${kind}-${sizeMiB}` });
    const peaks: number[] = [];
    try {
      for (const id of ids) {
        gateway.start();
        const watch = watchProcess(gateway.pid());
        await install(gateway, id);
        const { peakBytes, samples } = await watch.stop();
        assert.ok(samples > 50, `${samples} samples`);
        peaks.push(peakBytes / MIB);
        await gateway.stop();
      }
      return peaks;
    } finally {
      await gateway.remove();
    }
  }

  /** The executable is a new file, so that its pages are the group's too. */
  async function updateWithin(group: MemoryCgroup, kind: Kind, disk: string): Promise<void> {
    const ids = await upload(kind, GROUP_ARTIFACT_MIB);
    const copy = join(disk, 'gwe');
    const [program = '', ...args] = group.command;
    assert.equal(spawnSync(program, [...args, 'cp', EXECUTABLE, copy]).status, 0);
    const serial = `group-${kind}`;
    const command = [...group.command, copy];
    const gateway = await createGateway(platform, { command, serial, directory: disk });
    try {
      gateway.start();
      for (const id of ids) await install(gateway, id);
    } finally {
      await gateway.remove();
    }
  }

  test(`an update of ${FILES} files takes no more than one of a few`, async (t) => {
    const gateway = await createGateway(platform, { command: [EXECUTABLE], serial: 'files' });
    t.after(() => gateway.remove());
    gateway.start();
    for (const version of ['1', '2']) {
      const id = `big.v${version}.tar.gz`;
      await platform.putContent(
        'p1',
        id,
        await makeIndexed({ name: 'big', version }, manyFiles(version)),
        '',
      );
      const watch = watchProcess(gateway.pid());
      await gateway.command(platform, JSON.stringify({ install: [{ name: id }] }), 300_000);
      const { peakBytes } = await watch.stop();
      assert.ok(gateway.active('big')?.startsWith(`${version}-`));
      const found = `${version}: ${(peakBytes / MIB).toFixed(1)} MiB of anonymous memory at most`;
      t.diagnostic(found);
      assert.ok(peakBytes <= MOST_MIB * MIB, found);
    }
  });

  for (const kind of ['plain', 'indexed'] as const) {
    test(`${kind}: as much for ${LARGE_MIB} MiB as for ${SMALL_MIB}`, async (t) => {
      const small = await peaksMiB(kind, SMALL_MIB);
      const large = await peaksMiB(kind, LARGE_MIB);
      for (const [at, version] of VERSIONS[kind].entries()) {
        const [less = 0, more = 0] = [small[at], large[at]];
        const found = `${version}: ${less.toFixed(1)} and ${more.toFixed(1)} MiB of anonymous memory at most`;
        t.diagnostic(found);
        assert.ok(Math.abs(more - less) <= APART_MIB, found);
        assert.ok(Math.max(less, more) <= MOST_MIB, found);
      }
    });

    test(`${kind}: a whole update of ${GROUP_ARTIFACT_MIB} MiB goes through in a cgroup of ${GROUP_MIB} MiB`, async (t) => {
      const group = createMemoryCgroup(GROUP_MIB * MIB);
      if (group === undefined) {
        t.diagnostic('nobody may make a memory cgroup here: the anonymous memory stands in for it');
        assert.ok(Math.max(...(await peaksMiB(kind, GROUP_ARTIFACT_MIB))) <= MOST_MIB);
        return;
      }
      const disk = createGatewayDisk(2048 * MIB);
      try {
        await updateWithin(group, kind, disk.directory);
        t.diagnostic(`${(group.peakBytes() / MIB).toFixed(1)} MiB held at most, file pages included`);
        assert.equal(group.killed(), 0);
      } finally {
        disk.remove();
        await group.remove();
      }
    });
  }
});
