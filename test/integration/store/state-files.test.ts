/** Each row of the table of state files, each way in which a file is damaged: gwe goes on, and the next update works. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createLayout } from '../../../src/store/layout.ts';
import { DAMAGE_RULES, STATE_FILES, type StateFile } from '../../../src/store/state-files.ts';
import { createGateway, EXECUTABLE, type Gateway } from '../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { installCommand } from '../../helpers/reports.ts';
import { INSTALL_OK, makeTarball } from '../../helpers/tarball.ts';

const DAMAGES: Readonly<Record<string, (path: string) => void>> = {
  empty: (path) => writeFileSync(path, ''),
  'full of NULs': (path) => writeFileSync(path, Buffer.alloc(Math.max(100, statSync(path).size))),
  'cut short': (path) => {
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.subarray(0, Math.floor(bytes.length / 2)));
  },
  overwritten: (path) => writeFileSync(path, randomBytes(300)),
  gone: (path) => rmSync(path),
  'a directory': (path) => {
    renameSync(path, `${path}.before`);
    mkdirSync(path);
    writeFileSync(join(path, 'left-by-somebody'), 'kept');
  },
};

/** What somebody wrote, or removed, counts: nothing tells it from damage. Their own tests are below. */
const COUNTS_AS_WRITTEN = ['overwritten', 'gone'];

function damagesOf({ rule, name }: StateFile): string[] {
  const all = Object.keys(DAMAGES);
  if (name.startsWith('run/')) return ['overwritten', 'a directory'];
  // Each is a directory: there is nothing that one could stand in the place of.
  if (name === SCRIPTS) return all.filter((damage) => damage !== 'a directory');
  return rule === 'edited' ? all.filter((damage) => !COUNTS_AS_WRITTEN.includes(damage)) : all;
}

const SCRIPTS = 'var/lib/gwe/scripts/*';

/** Entries need supervisord, and keys signatures; without a record of removed keys all is refused: see their own tests. */
const ELSEWHERE = [
  'etc/supervisor/conf.d/*.conf',
  'etc/gwe/keys.d/*.pub',
  'etc/gwe/keys.d/*.retired',
  'var/lib/gwe/key-decisions.json',
];

describe('a file of state that is damaged', { concurrency: 4 }, () => {
  let platform: TestPlatform;
  const gateways: Gateway[] = [];
  const updates = 12;

  before(async () => {
    platform = await startPlatform();
    for (let version = 1; version <= updates; version++) {
      const tarball = makeTarball({ 'install.sh': INSTALL_OK, version: `${version}` });
      await platform.putContent('p1', `app.v${version}.tar.gz`, tarball);
    }
  });
  after(async () => {
    await Promise.all(gateways.map((gateway) => gateway.remove()));
    await platform.close();
  });

  /** One pass of the agent, as a process of its own. Returns what it logged. */
  function passOnce(gateway: Gateway): Promise<string> {
    const env = { PATH: process.env.PATH ?? '', HOME: gateway.root, GWE_ROOT: gateway.root };
    return new Promise((resolve) => {
      execFile(EXECUTABLE, ['-o'], { env, timeout: 60_000 }, (_error, _stdout, stderr) => resolve(stderr));
    });
  }

  async function updateWorks(gateway: Gateway, version: number, when: string): Promise<void> {
    await platform.write('p1', gateway.serial, 'engine_fetch', installCommand(`app.v${version}.tar.gz`));
    const log = await passOnce(gateway);
    const [last] = await platform.history('p1', gateway.serial, 'fetch_status');
    const report = JSON.parse(last?.value ?? '{}') as Record<string, unknown>;
    assert.deepEqual(
      [report.outcome, report.version],
      ['installed', String(version)],
      `${when}: ${last?.value}\n${log}`,
    );
    assert.match(gateway.active('app') ?? '', new RegExp(`^${version}-`), when);
  }

  /** A file of the row: one that is there, or one like it. */
  function fileOf(gateway: Gateway, row: StateFile): string {
    const [there] = row.files(createLayout(gateway.root)).filter((path) => existsSync(path));
    const path = there ?? join(gateway.root, row.name.replace('*', 'sample'));
    mkdirSync(dirname(path), { recursive: true });
    if (there === undefined) writeFileSync(path, '{"version":1,"something":"of the kind"}\n');
    return path;
  }

  for (const [at, row] of STATE_FILES.entries()) {
    if (ELSEWHERE.includes(row.name)) continue;
    test(`${row.name} (${row.rule}): ${row.effect}`, async () => {
      assert.ok(row.rule in DAMAGE_RULES);
      const gateway = await createGateway(platform, { serial: `gw-${at}`, command: [EXECUTABLE] });
      gateways.push(gateway);
      await updateWorks(gateway, 1, 'before');
      const key = readFileSync(join(gateway.root, 'etc/gwe/Gateway.cfg'), 'utf8');
      for (const [nth, damage] of damagesOf(row).entries()) {
        const path = fileOf(gateway, row);
        DAMAGES[damage]?.(path);
        await updateWorks(gateway, nth + 2, damage);
        assert.equal(readFileSync(join(gateway.root, 'etc/gwe/Gateway.cfg'), 'utf8'), key, damage);
        const kept = globSync(`${path}*/**/left-by-somebody`);
        if (damage === 'a directory') assert.equal(kept.length, 1, `${damage}: what was in it is kept`);
      }
    });
  }
});
