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
import { createGateway, EXECUTABLE } from '../helpers/gateway.ts';
import { createGatewayDisk } from '../helpers/gateway-disk.ts';
import { writeIndexedTarball, writePlainTarball } from '../helpers/large-tarball.ts';
import { createMemoryCgroup, type MemoryCgroup } from '../helpers/memory-cgroup.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { watchProcess } from '../helpers/process-watch.ts';

const MIB = 2 ** 20;
const SMALL_MIB = 20;
const LARGE_MIB = process.env.GWE_MEMORY === 'full' ? 2000 : 200;
const MOST_MIB = 32;
const MOST_APART_MIB = 4;
const GROUP_MIB = 64;

type Write = (path: string, sizeMiB: number) => void | Promise<void>;

const KINDS: Readonly<Record<'plain' | 'indexed', Write>> = {
  plain: (path, sizeMiB) => writePlainTarball(path, sizeMiB * MIB),
  indexed: (path, sizeMiB) =>
    writeIndexedTarball(path, { name: 'big', version: String(sizeMiB) }, sizeMiB * MIB),
};

describe('the memory of an update', () => {
  let platform: TestPlatform;
  let scratch: string;
  let there = '';
  before(async () => {
    platform = await startPlatform({});
    scratch = mkdtempSync(join(tmpdir(), 'gwe-memory-'));
  });
  after(async () => {
    await platform?.close();
    rmSync(scratch, { recursive: true, force: true });
  });

  /** The id of an artifact of that size that the platform has, made at its first use. */
  async function upload(kind: keyof typeof KINDS, sizeMiB: number): Promise<string> {
    const id = `big.v${sizeMiB}.tar.gz`;
    if (there === `${kind} ${sizeMiB}`) return id;
    there = `${kind} ${sizeMiB}`;
    const path = join(scratch, id);
    await KINDS[kind](path, sizeMiB);
    await platform.putContent('p1', id, readFileSync(path));
    rmSync(path);
    return id;
  }

  /** The peak of anonymous memory of an agent that starts, is told of one artifact and installs it. */
  async function peakMiB(kind: keyof typeof KINDS, sizeMiB: number): Promise<number> {
    const id = await upload(kind, sizeMiB);
    const gateway = await createGateway(platform, { command: [EXECUTABLE], serial: `${kind}-${sizeMiB}` });
    try {
      gateway.start();
      const watch = watchProcess(gateway.pid());
      const report = await gateway.command(platform, JSON.stringify({ install: [{ name: id }] }), 600_000);
      const { peakBytes, samples } = await watch.stop();
      assert.ok(gateway.active('big') !== undefined, JSON.stringify(report));
      assert.ok(samples > 100, `${samples} samples`);
      return peakBytes / MIB;
    } finally {
      await gateway.remove();
    }
  }

  /** The executable is a new file, so that its pages are the group's too. */
  async function updateWithin(group: MemoryCgroup, kind: keyof typeof KINDS, disk: string): Promise<void> {
    const id = await upload(kind, 200);
    const copy = join(disk, 'gwe');
    const [program = '', ...args] = group.command;
    assert.equal(spawnSync(program, [...args, 'cp', EXECUTABLE, copy]).status, 0);
    const serial = `group-${kind}`;
    const command = [...group.command, copy];
    const gateway = await createGateway(platform, { command, serial, directory: disk });
    try {
      gateway.start();
      const report = await gateway.command(platform, JSON.stringify({ install: [{ name: id }] }), 120_000);
      assert.ok(gateway.active('big') !== undefined, JSON.stringify(report));
    } finally {
      await gateway.remove();
    }
  }

  for (const kind of ['plain', 'indexed'] as const) {
    test(`${kind}: as much for ${LARGE_MIB} MiB as for ${SMALL_MIB}`, async (t) => {
      const small = await peakMiB(kind, SMALL_MIB);
      const large = await peakMiB(kind, LARGE_MIB);
      const found = `${small.toFixed(1)} and ${large.toFixed(1)} MiB of anonymous memory at most`;
      t.diagnostic(found);
      assert.ok(Math.abs(large - small) <= MOST_APART_MIB, found);
      assert.ok(Math.max(small, large) <= MOST_MIB, found);
    });

    test(`${kind}: a whole update of 200 MiB goes through in a cgroup of ${GROUP_MIB} MiB`, async (t) => {
      const group = createMemoryCgroup(GROUP_MIB * MIB);
      if (group === undefined) {
        t.diagnostic('nobody may make a memory cgroup here: the anonymous memory stands in for it');
        assert.ok((await peakMiB(kind, 200)) <= MOST_MIB);
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
