/** `gwe plan` and `gwe lease`, typed on a gateway. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { LAUNCHER } from '../../../src/service/launcher.ts';
import { type CommandLine, createCommandLine, screenLines } from '../../helpers/command-line.ts';
import { type CommandResult, createGateway, FROM_SOURCE, type Gateway } from '../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { installCommand, sendCommand } from '../../helpers/reports.ts';
import { INSTALL_OK, makeTarball } from '../../helpers/tarball.ts';

const MIB = 1024 * 1024;
const PROGRAM = '[supervisord]\ncommand = sleep 1000\n';

describe('plan for a tarball of this machine', () => {
  let line: CommandLine;
  before(() => {
    line = createCommandLine();
  });
  after(() => line.remove());

  test('says what an installation would do, and does nothing', () => {
    line.file(
      'one.v1.tar.gz',
      makeTarball({ 'install.sh': INSTALL_OK, 'supervisor.conf': PROGRAM, data: 'x'.repeat(5000) }),
    );
    const { status, stdout } = line.gwe('plan', 'one.v1.tar.gz', '--json');
    const plan = JSON.parse(stdout);
    assert.deepEqual(
      [plan.version, plan.app, plan.appVersion, plan.source, plan.action, plan.from],
      [1, 'one', '1', 'file', 'install', null],
    );
    // There is no supervisord on it, and the update itself would be refused for that.
    assert.deepEqual([status, plan.refusal.code], [1, 'SUPERVISOR_UNREACHABLE']);
    const unpacked = 5000 + PROGRAM.length + INSTALL_OK.length;
    assert.deepEqual(plan.unpacked, { bytes: unpacked, isExact: true, entries: 3 });
    assert.deepEqual(plan.program, { effect: 'start' });
    assert.equal(plan.wayBack, null);
    assert.equal((plan.tarball as Record<string, number>).fetchBytes, 0);
    assert.deepEqual(readdirSync(line.root).sort(), ['etc', 'home'], 'nothing was made on the gateway');
  });

  test('tells an update from a re-run of the active version, and names the way back', () => {
    const tarball = makeTarball({ 'install.sh': INSTALL_OK });
    line.file('two.v1.tar.gz', tarball);
    line.file('two.v2.tar.gz', makeTarball({ 'install.sh': INSTALL_OK, more: '2' }));
    assert.equal(line.gwe('-I', 'two.v1.tar.gz').status, 0);
    const rerun = line.json('plan', './two.v1.tar.gz', '--json');
    assert.deepEqual([rerun.action, rerun.from, rerun.wayBack], ['rerun', '1', null]);
    const update = line.json('plan', 'two.v2.tar.gz', '--json');
    assert.deepEqual([update.action, update.from, update.wayBack], ['update', '1', '1']);
    assert.deepEqual(update.program, { effect: 'none' });
  });

  test('refuses, with status 1 and the reason, a tarball that an installation would refuse', () => {
    line.file('bad.v1.tar.gz', makeTarball({ README: 'no install.sh' }));
    const { status, stdout } = line.gwe('plan', 'bad.v1.tar.gz', '--json');
    assert.equal(status, 1);
    assert.equal(JSON.parse(stdout).refusal.code, 'ARTIFACT_LAYOUT');
    const broken = {
      'install.sh': INSTALL_OK,
      'supervisor.conf': '[supervisord]\ncommand = sleep %(none)s\n',
    };
    line.file('bad.v2.tar.gz', makeTarball(broken));
    const program = JSON.parse(line.gwe('plan', 'bad.v2.tar.gz', '--json').stdout);
    assert.equal(program.refusal.code, 'SUPERVISOR_PROGRAM_INVALID');
    const typed = line.gwe('plan', 'bad.v1.tar.gz');
    assert.equal(typed.status, 1);
    assert.match(typed.stdout, /^verdict +refused: .*neither install\.sh/m);
  });

  test('refuses what would eat into the reserve, with the numbers', () => {
    line.file('big.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
    const reserve = Number.MAX_SAFE_INTEGER - 10_000;
    assert.equal(line.gwe('--set', `disk_reserve_bytes=${reserve}`).status, 0);
    const { status, stdout } = line.gwe('plan', 'big.v1.tar.gz', '--json');
    assert.equal(line.gwe('--set', 'disk_reserve_bytes=').status, 0);
    const plan = JSON.parse(stdout);
    assert.deepEqual([status, plan.refusal.code], [1, 'STORE_NO_SPACE']);
    const [room] = plan.disk;
    assert.equal(room.reserveBytes, reserve);
    assert.ok(room.freeBytes < room.neededBytes + room.reserveBytes);
    assert.ok(plan.refusal.reason.includes(`expected ${room.neededBytes + reserve} with the reserve`));
  });

  test('shows one fact per line that fits a terminal of 80 columns', () => {
    line.file('wide.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
    const lines = screenLines(line.onTerminal(['plan', 'wide.v1.tar.gz']).stdout);
    for (const label of [
      'app',
      'action',
      'fetch',
      'unpacked',
      'disk',
      'inodes',
      'program',
      'clock',
      'verdict',
    ])
      assert.ok(
        lines.some((text) => text.startsWith(`${label} `)),
        `${label}:\n${lines.join('\n')}`,
      );
    assert.ok(lines.every((text) => text.length <= 80));
  });

  test('a missing file and an invalid name are errors', () => {
    const missing = line.gwe('plan', './none.v1.tar.gz');
    assert.deepEqual([missing.status, missing.stdout], [1, '']);
    assert.match(missing.stderr, /there is no such file/);
    assert.equal(line.gwe('plan', 'nonsense').status, 1);
  });

  test('a configured certificate that cannot be read, or is not valid by this clock, shows', () => {
    line.file('one.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
    const ca = line.file('ca.pem', 'nonsense');
    assert.equal(line.gwe('--set-ca-file', ca).status, 0);
    const plan = line.json('plan', 'one.v1.tar.gz', '--json');
    assert.equal(line.gwe('--set-ca-file', '').status, 0);
    assert.deepEqual(plan.certificates, [
      { setting: 'ca_file', file: ca, state: 'unreadable', validFrom: null, validTo: null },
    ]);
  });
});

describe('lease', () => {
  let line: CommandLine;
  before(() => {
    line = createCommandLine();
  });
  after(() => line.remove());

  test('is taken, listed, shown by plan, and released', () => {
    line.file('one.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
    const taken = line.gwe('lease', 'one', '--seconds', '100', '--reason', 'a batch is running');
    assert.equal(taken.status, 0, taken.stderr);
    assert.match(taken.stderr, /no app 'one' is installed/);
    const { leases } = line.json('lease', '--json') as { leases: Record<string, unknown>[] };
    assert.equal(leases.length, 1);
    assert.deepEqual([leases[0]?.app, leases[0]?.reason], ['one', 'a batch is running']);
    assert.ok(Number(leases[0]?.secondsLeft) > 60 && Number(leases[0]?.secondsLeft) <= 100);
    const plan = line.json('plan', 'one.v1.tar.gz', '--json');
    assert.match(String(plan.notes), /postpones it \(a batch is running\)/);
    assert.equal(line.gwe('lease', 'one', '--release').status, 0);
    assert.deepEqual(line.json('lease', '--json').leases, []);
  });

  test('ends with its process, and another process of the same pid does not hold it', () => {
    const own = ['--seconds', '100', '--reason', 'x', '--pid'];
    assert.equal(line.gwe('lease', 'one', ...own, String(process.pid)).status, 0);
    assert.match(line.gwe('lease').stdout, new RegExp(`one .*process ${process.pid}`));
    const path = join(line.root, 'run/gwe/leases/one.json');
    const lease = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...lease, startTicks: '1' }));
    assert.match(line.gwe('lease').stdout, /no update is postponed/);
    assert.equal(line.gwe('lease', 'one', ...own, '4194304').status, 1, 'no such process');
  });

  test('does not follow a wall clock that jumps, and ends with the boot', () => {
    assert.equal(line.gwe('lease', 'one', '--seconds', '100', '--reason', 'x').status, 0);
    const path = join(line.root, 'run/gwe/leases/one.json');
    const lease = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...lease, expires: 1 }));
    assert.match(line.gwe('lease').stdout, /^one /m, 'the wall clock is not asked');
    writeFileSync(path, JSON.stringify({ ...lease, uptime: { ...lease.uptime, bootId: 'another' } }));
    assert.match(line.gwe('lease').stdout, /no update is postponed/);
  });

  test('a wrong command line changes nothing', () => {
    line.gwe('lease', 'one', '--release');
    for (const args of [
      ['one', '--seconds', '0', '--reason', 'x'],
      ['one', '--seconds', '1e3', '--reason', 'x'],
      ['one', '--seconds', '10'],
      ['one', '--reason', 'x'],
      ['one', '--seconds', '10', '--reason', 'x', '--release'],
      ['../one', '--seconds', '10', '--reason', 'x'],
      ['--seconds', '10', '--reason', 'x'],
    ]) {
      const { status, stdout } = line.gwe('lease', ...args);
      assert.deepEqual([status, stdout], [2, ''], args.join(' '));
    }
    assert.deepEqual(line.json('lease', '--json').leases, []);
  });
});

describe('plan for the content area', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  const big = makeTarball({ 'install.sh': INSTALL_OK, data: { content: randomBytes(2 * MIB) } });

  const json = async (...args: string[]) => {
    const { status, stdout, stderr } = await runOn(gateway, [...args, '--json']);
    return { status, plan: stdout === '' ? undefined : JSON.parse(stdout), stderr };
  };

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform);
    await platform.putContent('p1', 'app.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
    await platform.putContent('p1', 'app.v2.tar.gz', big);
    gateway.start();
    const [report] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
    assert.equal(report?.outcome, 'installed', JSON.stringify(report));
  });
  after(async () => {
    await gateway.remove();
    await platform.close();
  });

  test('a large one: its last bytes say what it unpacks to, while the agent runs', async () => {
    const { status, plan, stderr } = await json('plan', 'app.v2.tar.gz');
    assert.equal(status, 0, stderr);
    assert.deepEqual([plan.source, plan.action, plan.from, plan.wayBack], ['content', 'update', '1', '1']);
    assert.equal(plan.tarball.fetchBytes, big.length);
    assert.equal(plan.unpacked.isExact, false);
    assert.ok(plan.unpacked.bytes > 2 * MIB && plan.unpacked.bytes < 2.1 * MIB);
    assert.equal(existsSync(join(gateway.root, 'var/lib/gwe/downloads/app.v2.tar.gz')), false);
  });

  test('the active one is run again, and nothing is fetched', async () => {
    const { plan } = await json('plan', 'app.v1.tar.gz');
    assert.deepEqual([plan.action, plan.tarball.fetchBytes, plan.refusal], ['rerun', 0, null]);
  });

  test('bytes that are here already are not counted; a part of another upload is', async () => {
    const info = await json('plan', 'app.v2.tar.gz');
    const downloads = join(gateway.root, 'var/lib/gwe/downloads');
    mkdirSync(downloads, { recursive: true });
    writeFileSync(join(downloads, 'app.v2.tar.gz'), big.subarray(0, MIB));
    const updated = await uploadTime(platform);
    const note = { id: 'app.v2.tar.gz', sizeBytes: big.length, updated, syncedBytes: MIB };
    writeFileSync(join(downloads, 'app.v2.tar.gz.info'), JSON.stringify(note));
    const { plan } = await json('plan', 'app.v2.tar.gz');
    assert.deepEqual(plan.tarball, {
      sizeBytes: big.length,
      haveBytes: MIB,
      fetchBytes: big.length - MIB,
      requests: 1,
      whole: null,
      ways: { whole: big.length, chunks: null, patch: null, patchFrom: null },
    });
    assert.equal(plan.disk[0].neededBytes, info.plan.disk[0].neededBytes - MIB);
    writeFileSync(join(downloads, 'app.v2.tar.gz.info'), JSON.stringify({ ...note, updated: updated - 1 }));
    assert.equal((await json('plan', 'app.v2.tar.gz')).plan.tarball.haveBytes, 0);
  });

  test('what unpacks to more than is allowed is refused before a byte is fetched, also by the agent', async () => {
    const bomb = Buffer.concat([randomGzip(1.5 * MIB), gzipSync(Buffer.alloc(6 * MIB))]);
    await platform.putContent('p1', 'app.v3.tar.gz', bomb);
    assert.equal(gateway.gwe('--set', `max_unpacked_bytes=${5 * MIB}`).status, 0);
    const { status, plan } = await json('plan', 'app.v3.tar.gz');
    assert.deepEqual([status, plan.refusal.code], [1, 'ARTIFACT_LIMIT']);
    const [report] = await sendCommand(platform, gateway, installCommand('app.v3.tar.gz'));
    assert.deepEqual(
      [report?.outcome, report?.code, report?.bytes, report?.phase],
      ['rejected', 'ARTIFACT_LIMIT', 0, 'planned'],
    );
    assert.equal(gateway.gwe('--set', 'max_unpacked_bytes=').status, 0);
  });

  test('one that is not there is an error', async () => {
    const { status, plan, stderr } = await json('plan', 'none.v1.tar.gz');
    assert.deepEqual([status, plan], [1, undefined]);
    assert.match(stderr, /the content area has no item of that name/);
  });

  async function uploadTime(on: TestPlatform): Promise<number> {
    const cik = gateway.gwe('-C').stdout.trim();
    const url = `${on.url}/provision/download?vendor=p1&model=p1&id=app.v2.tar.gz&info=true`;
    const reply = await fetch(url, { headers: { 'X-Exosite-CIK': cik } });
    return Number((await reply.text()).split(',')[2]);
  }
});

/** Not by spawnSync: the platform lives in this process and must answer meanwhile. */
function runOn(gateway: Gateway, args: readonly string[]): Promise<CommandResult> {
  const [program = '', ...first] = FROM_SOURCE;
  const env = { PATH: process.env.PATH ?? '', HOME: gateway.root, GWE_ROOT: gateway.root };
  return new Promise((resolve) => {
    execFile(program, [...first, ...args], { env, timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

function randomGzip(sizeBytes: number): Buffer {
  return gzipSync(randomBytes(sizeBytes));
}

test('an unknown run_as is refused by plan and doctor as it would be by the update', (t) => {
  const line = createCommandLine(undefined, { run_as: 'nobody-of-that-name' });
  t.after(() => line.remove());
  line.file('one.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
  const plan = line.gwe('plan', 'one.v1.tar.gz');
  assert.equal(plan.status, 1);
  assert.match(plan.stdout, /refused: .*'nobody-of-that-name' \(run_as\): no such user/s);
  const { checks } = line.json('doctor', '--json') as { checks: { id: string; status: string }[] };
  assert.equal(checks.find(({ id }) => id === 'run-as')?.status, 'fail');
});

test('a data directory on a disk that is not there is refused by plan, doctor and update alike, and nothing is touched', (t) => {
  const line = createCommandLine();
  t.after(() => line.remove());
  line.file('one.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
  assert.equal(line.gwe('-I', 'one.v1.tar.gz').status, 0);
  const data = join(line.root, 'var/opt/gwe/one');
  rmSync(data, { recursive: true });
  symlinkSync('/mnt/no-such-disk', data);
  line.file('one.v2.tar.gz', makeTarball({ 'install.sh': INSTALL_OK, v: '2' }));
  const words = /one': it is a link to '\/mnt\/no-such-disk'/;
  assert.match(line.gwe('plan', 'one.v2.tar.gz').stdout, words);
  const { checks } = line.json('doctor', '--json') as { checks: { id: string; status: string }[] };
  assert.equal(checks.find(({ id }) => id === 'data')?.status, 'fail');
  const { installs } = JSON.parse(line.gwe('-I', 'one.v2.tar.gz', '--json').stdout) as {
    installs: { outcome: string; reason: string; active: string }[];
  };
  assert.deepEqual([installs[0]?.outcome, installs[0]?.active], ['failed-no-change', '1']);
  assert.match(installs[0]?.reason ?? '', words);
});

test('a way back that the keys forbid is named by keys add, plan and doctor before it is needed', (t) => {
  const line = createCommandLine();
  t.after(() => line.remove());
  line.file('one.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
  assert.equal(line.gwe('-I', 'one.v1.tar.gz').status, 0);
  line.gwe('keygen', '--out', 'k');
  assert.match(
    line.gwe('keys', 'add', 'k.pub').stderr,
    /app 'one': a failed update could not be rolled back/,
  );
  line.file('one.v2.tar.gz', makeTarball({ 'install.sh': INSTALL_OK, x: '2' }));
  line.gwe('sign', 'one.v2.tar.gz', '--key', 'k.key');
  assert.match(line.gwe('plan', 'one.v2.tar.gz').stdout, /could not be rolled back to version 1/);
  const { checks } = line.json('doctor', '--json') as { checks: { id: string; finding: string }[] };
  assert.match(checks.find(({ id }) => id === 'way-back')?.finding ?? '', /app 'one'/);
});

test('the plan of an update of gwe itself says what happens to it, and claims no launcher that is not there', async (t) => {
  const line = createCommandLine();
  t.after(() => line.remove());
  line.file('gwe.v9.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
  const alone = line.gwe('plan', 'gwe.v9.tar.gz').stdout;
  assert.match(alone, /^way back +none: a failure would leave it not installed$/m);
  assert.match(alone, /^verdict +refused: .*'gwe service install'$/m);
  const apps = join(line.root, 'opt/gwe/apps/gwe');
  mkdirSync(join(apps, '8-aaaaaaaa'), { recursive: true });
  symlinkSync('8-aaaaaaaa', join(apps, 'current'));
  assert.match(
    line.gwe('plan', 'gwe.v9.tar.gz').stdout,
    /^note +'.*\/usr\/local\/bin\/gwe' is not the launcher/m,
  );
  assert.equal(line.json('plan', 'gwe.v9.tar.gz', '--json').wayBack, null);
  mkdirSync(join(line.root, 'usr/local/bin'), { recursive: true });
  writeFileSync(join(line.root, 'usr/local/bin/gwe'), LAUNCHER, { mode: 0o755 });
  const { stdout } = line.gwe('plan', 'gwe.v9.tar.gz');
  assert.match(stdout, /^action +update from 8$/m);
  assert.match(stdout, /^program +gwe is tried beside the running one, then restarts into the new version/m);
  assert.match(
    stdout,
    /^way back +to 8: by the launcher after three starts without a check-in, later by 'gwe rollback gwe'$/m,
  );
});
