/** A disk that fills up more and more: at no level may the agent die, lose its records, or get stuck half way. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { asRoot } from '../../../helpers/as-root.ts';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { type FetchReport, fetchReports, installCommand, waitUntil } from '../../../helpers/reports.ts';
import { INSTALL_OK, makeTarball, type TarballEntry } from '../../../helpers/tarball.ts';

function mount(directory: string, options: string): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'gwe-test', directory], { stdio: 'ignore' });
}

const test = asRoot(import.meta.filename);

/** Twenty files of a few KB that do not compress: 200 KB to fetch and as much to unpack. */
function tarball(version: string): Buffer {
  const files = Array.from({ length: 20 }, (_, index): [string, TarballEntry] => [
    `data-${index}`,
    { content: randomBytes(10_000) },
  ]);
  return makeTarball({ 'install.sh': INSTALL_OK, VERSION: version, ...Object.fromEntries(files) });
}

interface Level {
  free: number;
  /** Uses up all but `free`; returns how to undo it. */
  fill(root: string, free: number): () => void;
}

function fillBytes(root: string, free: number): () => void {
  const path = join(root, 'filler');
  const stat = fs.statfsSync(root);
  fs.writeFileSync(path, Buffer.alloc(Math.max(0, stat.bavail * stat.bsize - free)));
  return () => fs.rmSync(path);
}

function fillInodes(root: string, free: number): () => void {
  const directory = join(root, 'fillers');
  fs.mkdirSync(directory);
  for (let count = fs.statfsSync(root).ffree - free; count > 0; count--)
    fs.writeFileSync(join(directory, String(count)), '');
  return () => fs.rmSync(directory, { recursive: true });
}

describe('a disk that fills up', { concurrency: true }, () => {
  let platform: TestPlatform;
  const ends: (() => Promise<void> | void)[] = [];
  let serial = 0;
  before(async () => {
    platform = await startPlatform();
  });
  after(async () => {
    for (const end of ends.reverse()) await end();
    await platform.close();
  });

  /** A gateway whose whole root is a small file system. */
  async function createSmall(options: string): Promise<Gateway> {
    const settings = { disk_reserve_bytes: 0 };
    const gateway = await createGateway(platform, { serial: `gw-${++serial}`, settings });
    const etc = ['Gateway.cfg', 'Engine.config'].map((name) => {
      const path = join(gateway.root, 'etc/gwe', name);
      return [path, fs.readFileSync(path)] as const;
    });
    mount(gateway.root, options);
    fs.mkdirSync(join(gateway.root, 'etc/gwe'), { recursive: true });
    for (const [path, text] of etc) fs.writeFileSync(path, text);
    ends.push(async () => {
      await gateway.stop();
      execFileSync('umount', ['-l', gateway.root]);
      await gateway.remove();
    });
    return gateway;
  }

  const send = (gateway: Gateway, id: string): Promise<void> =>
    platform.write('p1', gateway.serial, 'engine_fetch', installCommand(id));

  async function goThrough(gateway: Gateway, levels: readonly Level[]): Promise<void> {
    gateway.start();
    await waitUntil(gateway, 'first check-in', 20_000, () => gateway.log().includes('checkin.done'));
    for (const [index, { free, fill }] of levels.entries()) {
      const [tight, roomy] = [`${index}-tight`, `${index}-roomy`];
      for (const version of [tight, roomy])
        await platform.putContent('p1', `app.v${version}.tar.gz`, tarball(version));
      const where = `${free} free, app ${tight} of ${gateway.serial}`;
      const told = (await fetchReports(platform, gateway)).length;
      const complaints = (): number => gateway.log().split('STORE_NO_SPACE').length;
      const before = complaints();
      const undo = fill(gateway.root, free);
      await send(gateway, `app.v${tight}.tar.gz`);
      let reports: FetchReport[] = [];
      await waitUntil(gateway, `word of ${where}`, 40_000, async () => {
        reports = (await fetchReports(platform, gateway)).slice(told);
        return reports.length > 0 || complaints() > before;
      });
      for (const report of reports)
        assert.ok(
          report.outcome === 'installed' || report.code === 'STORE_NO_SPACE',
          `${where}: ${JSON.stringify(report)}`,
        );
      assertWhole(gateway, where);
      undo();
      await send(gateway, `app.v${roomy}.tar.gz`);
      await waitUntil(gateway, `recovery after ${where}`, 40_000, async () =>
        (await fetchReports(platform, gateway)).some(
          ({ version, outcome }) => version === roomy && outcome === 'installed',
        ),
      );
      assertWhole(gateway, `after ${where}`);
      assert.equal(
        fs.readFileSync(join(gateway.root, 'opt/gwe/apps/app/current/VERSION'), 'utf8'),
        roomy,
        where,
      );
    }
  }

  /** The agent lives, every record of its can be read, and what is active is there as a whole. */
  function assertWhole(gateway: Gateway, where: string): void {
    assert.ok(gateway.isRunning(), `${where}:\n${gateway.log()}`);
    const state = join(gateway.root, 'var/lib/gwe');
    const records = fs.existsSync(state)
      ? fs.readdirSync(state).filter((name) => name.endsWith('.json'))
      : [];
    for (const name of records) JSON.parse(fs.readFileSync(join(state, name), 'utf8'));
    if (gateway.active('app') === undefined) return;
    assert.equal(fs.readdirSync(join(gateway.root, 'opt/gwe/apps/app/current')).length, 22, where);
  }

  test('of bytes: every level ends in an installation or STORE_NO_SPACE, and space brings it back', async () => {
    const gateway = await createSmall('size=8m');
    const levels = [0, 4096, 65_536, 262_144, 393_216];
    await goThrough(
      gateway,
      levels.map((free) => ({ free, fill: fillBytes })),
    );
  });

  test('of inodes: the same', async () => {
    const gateway = await createSmall('size=8m,nr_inodes=300');
    const levels = [0, 3, 8, 20];
    await goThrough(
      gateway,
      levels.map((free) => ({ free, fill: fillInodes })),
    );
  });

  test('what fits as a tarball and not unpacked is refused before a byte of it is fetched', async () => {
    const gateway = await createSmall('size=16m');
    const files = {
      noise: { content: randomBytes(1_500_000) },
      zeros: { content: Buffer.alloc(20_000_000) },
    };
    const bytes = makeTarball({ 'install.sh': INSTALL_OK, ...files });
    await platform.putContent('p1', 'app.v1.tar.gz', bytes);
    gateway.start();
    await send(gateway, 'app.v1.tar.gz');
    await waitUntil(
      gateway,
      'report',
      20_000,
      async () => (await fetchReports(platform, gateway)).length === 1,
    );
    const [report] = await fetchReports(platform, gateway);
    assert.deepEqual(
      [report?.outcome, report?.code, report?.phase, report?.bytes],
      ['failed-no-change', 'STORE_NO_SPACE', 'planned', 0],
    );
    const needed = Number(/\((\d+) needed/.exec(String(report?.reason))?.[1]);
    assert.ok(needed > 21_500_000 + bytes.length, String(report?.reason));
  });
});
