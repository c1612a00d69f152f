/** The reports of a live gateway with a real supervisord, field by field against what the system itself says. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { installCommand, sendCommand, waitUntil } from '../../../helpers/reports.ts';
import { type Supervisord, startSupervisord } from '../../../helpers/supervisord.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

type Fields = Record<string, unknown>;

/** Runs until a file is there, and from then on ends soon after each start. */
const crashAt = (file: string): string =>
  `#!/bin/sh\nwhile [ ! -e '${file}' ]; do sleep 0.2; done\nsleep 1.2\nexit 7\n`;
/** Two processes below the shell, one of them with some memory of its own. */
const FAMILY = '#!/bin/sh\nsleep 1000 &\nexec tail -c 6000000 /dev/zero -f\n';

const conf = (more = ''): string => `[supervisord]\ncommand = ./bin/run\nstartsecs = 1\n${more}`;

describe('the reports of a live gateway', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  let daemon: Supervisord;
  let device: Fields;
  let engine: Map<string, Fields>;
  let metrics: string;
  let askedAtS = 0;

  const read = async (alias: string): Promise<Fields> =>
    JSON.parse((await platform.read('p1', 'gw-1', alias)) ?? '{}') as Fields;
  const run = (program: string, ...args: string[]): string =>
    execFileSync(program, args, { encoding: 'utf8', env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' } });

  before(async () => {
    platform = await startPlatform();
    metrics = join(mkdtempSync(join(tmpdir(), 'gwe-metrics-')), 'gwe.prom');
    gateway = await createGateway(platform, { settings: { watch_window: 0, metrics_file: metrics } });
    daemon = await startSupervisord(gateway.root);
    gateway.start();
    const put = (name: string, script: string, more?: string): Promise<void> =>
      platform.putContent(
        'p1',
        name,
        makeTarball({ 'install.sh': INSTALL_OK, 'bin/run': script, 'supervisor.conf': conf(more) }),
      );
    await put('family.v1.tar.gz', '#!/bin/sh\nexec sleep 1000\n');
    await put('family.v2.tar.gz', FAMILY);
    await put('crash.v1.tar.gz', crashAt(join(gateway.root, 'crash-now')));
    await platform.putContent('p1', 'once.v3.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
    const names = ['family.v1.tar.gz', 'family.v2.tar.gz', 'crash.v1.tar.gz', 'once.v3.tar.gz'];
    const reports = await sendCommand(platform, gateway, installCommand(...names), names.length);
    assert.deepEqual(
      reports.map(({ outcome }) => outcome),
      names.map(() => 'installed'),
      gateway.log(),
    );
    writeFileSync(join(gateway.root, 'crash-now'), '');
    const rows = async (): Promise<Map<string, Fields>> => {
      const { apps = [] } = (await read('engine_report')) as { apps?: Record<string, Fields>[] };
      return new Map(apps.flatMap((row) => Object.entries(row)));
    };
    await waitUntil(gateway, 'restarts in the report', 60_000, async () => {
      engine = await rows();
      return Number(engine.get('crash')?.restarts ?? 0) >= 2;
    });
    await gateway.stop();
    // What is due says nothing of load and memory: a new agent with a new memory sends everything once more.
    execFileSync('rm', [join(gateway.root, 'run/gwe/reports.json')]);
    const before = (await platform.history('p1', 'gw-1', 'engine_report')).length;
    askedAtS = Date.now() / 1000;
    assert.equal(gateway.gwe('report').status, 0);
    gateway.start();
    await waitUntil(gateway, 'another report', 60_000, async () => {
      return (await platform.history('p1', 'gw-1', 'engine_report')).length > before;
    });
    [device, engine] = [await read('device_info'), await rows()];
    await gateway.stop();
  });
  after(async () => {
    await gateway?.remove();
    rmSync(dirname(metrics), { recursive: true });
    await daemon?.stop();
    await platform?.close();
  });

  test('the documented fields come first', () => {
    assert.deepEqual(Object.keys(device).slice(0, 4), ['df', 'uname', 'free', 'ipaddrs']);
    for (const [app, row] of engine) {
      assert.deepEqual(Object.keys(row).slice(0, 4), ['version', 'status', 'uptime', 'exitstatus'], app);
    }
    assert.equal([...engine.keys()][0], 'gwe');
  });

  test('disks and inodes are those of df', () => {
    const rows = (text: string): string[][] =>
      text
        .trim()
        .split('\n')
        .slice(1)
        .map((line) => line.split(/\s+/));
    const byPath = new Map(rows(run('df', '-P', '-k')).map((row) => [row[5], row]));
    const inodes = new Map(rows(run('df', '-P', '-i')).map((row) => [row[5], row]));
    const mounts = device.mounts as Fields[];
    const [reported, root] = [rows(String(device.df)), mounts.find(({ path }) => path === '/')];
    assert.ok(reported.length > 0 && reported.length === mounts.length);
    assert.ok(root !== undefined);
    for (const [source, blocks, used, , , path] of reported) {
      const own = byPath.get(path);
      if (own === undefined) continue; // Mounted and unmounted by others meanwhile.
      assert.deepEqual([source, blocks], own.slice(0, 2), path);
      near(Number(used) * 1024, Number(own[2]) * 1024, 200e6, `used of ${path}`);
      const mount = mounts.find((each) => each.path === path);
      if (mount?.inodes === undefined) continue;
      near(Number(mount.inodes), Number(inodes.get(path)?.[1]), 0, `inodes of ${path}`);
      near(Number(mount.inodes_free), Number(inodes.get(path)?.[3]), 20_000, `free inodes of ${path}`);
    }
    assert.ok(byPath.has('/') && reported.some((row) => row[5] === '/'));
  });

  test('kernel, memory, load, uptime and addresses are those of the system', () => {
    assert.equal(device.uname, run('uname', '-snrvm').trim());
    const meminfo = readFileSync('/proc/meminfo', 'utf8');
    const total = Number(/MemTotal:\s+(\d+)/.exec(meminfo)?.[1]);
    const memory = device.memory as Record<string, number>;
    assert.equal(memory.total, total * 1024);
    near(memory.available ?? 0, Number(/MemAvailable:\s+(\d+)/.exec(meminfo)?.[1]) * 1024, 4e9, 'available');
    assert.match(String(device.free), new RegExp(`^ +total .*\\nMem: +${total} `));
    const uptime = Number.parseFloat(readFileSync('/proc/uptime', 'utf8'));
    near(Number(device.uptime), uptime, 60, 'uptime');
    assert.equal((device.load as number[]).length, 3);
    near(
      (device.load as number[])[2] ?? -1,
      Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[2]),
      2,
      'load',
    );
    for (const address of run('hostname', '-I').trim().split(/\s+/)) {
      if (address !== '') assert.ok((device.ipaddrs as string[]).includes(address), address);
    }
    const interfaces = device.interfaces as Record<string, { mac: string; addresses: string[] }>;
    for (const [name, { mac, addresses }] of Object.entries(interfaces)) {
      assert.equal(mac, readFileSync(`/sys/class/net/${name}/address`, 'utf8').trim());
      for (const address of addresses) assert.ok((device.ipaddrs as string[]).includes(address));
    }
    near(Number((device.clock as Fields).now), askedAtS, 60, 'clock');
    // Plain http: nobody has told the time.
    assert.equal((device.clock as Fields).state, 'unverified');
    assert.equal(device.supervisord, run('supervisord', '--version').trim());
    assert.equal(device.target, `linux-${process.arch}`);
    assert.equal(device.missing, undefined);
  });

  test('versions and outcomes are those on the disk', () => {
    for (const app of ['family', 'crash', 'once']) {
      const row = engine.get(app);
      assert.equal(`${row?.version}-${String(row?.digest).slice(0, 8)}`, gateway.active(app), app);
      const last = row?.last as Fields;
      assert.deepEqual([last.outcome, last.version], ['installed', row?.version], app);
      near(Number(last.at), askedAtS, 120, `end of the update of ${app}`);
    }
    assert.equal(engine.get('family')?.previous, '1');
    assert.equal(engine.get('crash')?.previous, undefined);
    assert.deepEqual(
      ['status', 'uptime', 'exitstatus'].map((key) => engine.get('once')?.[key]),
      ['EXITED', '', 0],
    );
  });

  test('states, restarts, memory and CPU time are those of the processes', async () => {
    const family = engine.get('family');
    const info = await daemon.processInfo('family');
    assert.deepEqual([family?.status, family?.pid], [info?.statename, info?.pid]);
    assert.match(String(family?.uptime), /^0:\d\d:\d\d$/);
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && groupOf(name) === info?.pid);
    assert.equal(family?.processes, pids.length);
    assert.ok(pids.length >= 2);
    const key =
      family?.memory_kind === 'pss' ? (['smaps_rollup', 'Pss'] as const) : (['status', 'VmRSS'] as const);
    const bytes = pids.reduce((sum, pid) => {
      const text = readFileSync(`/proc/${pid}/${key[0]}`, 'utf8');
      return sum + 1024 * Number(new RegExp(`^${key[1]}:\\s+(\\d+)`, 'm').exec(text)?.[1]);
    }, 0);
    near(Number(family?.memory), bytes, bytes / 4, 'memory');
    assert.ok(Number(family?.cpu) >= 0 && Number(family?.cpu) < 10, String(family?.cpu));
    // The crashing one: whatever state it was in, it has ended with its own status, and been started again.
    const crash = engine.get('crash');
    assert.match(String(crash?.status), /^(RUNNING|STARTING|BACKOFF|EXITED|FATAL)$/);
    // supervisord forgets the status when it starts the program again.
    assert.equal(crash?.exitstatus, /^(RUNNING|STARTING)$/.test(String(crash?.status)) ? 0 : 7);
    const spawned = daemon.log().match(/spawned: 'crash' with pid/g)?.length ?? 0;
    // Those of the last seconds came after the report, and the first one is no restart.
    const restarts = Number(crash?.restarts);
    assert.ok(restarts <= spawned - 1 && restarts >= spawned - 1 - 12, `${restarts} of ${spawned} starts`);
    assert.equal(family?.restarts, 0);
  });

  test('the metrics file says the same, in lines that Prometheus takes', () => {
    const text = readFileSync(metrics, 'utf8');
    const label = String.raw`[a-z_]+="(?:[^"\\\n]|\\["\\n])*"`;
    const sample = new RegExp(`^[a-z_]+(\\{${label}(,${label})*\\})? -?[0-9.e+]+$`);
    for (const line of text.trimEnd().split('\n'))
      assert.ok(line.startsWith('# ') || sample.test(line), line);
    const value = (name: string): string | undefined =>
      text
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.slice(name.length + 1);
    const family = engine.get('family');
    const info = `gwe_app_info{app="family",version="2",digest="${family?.digest}",previous="1"}`;
    assert.equal(value(info), '1');
    assert.equal(value('gwe_app_up{app="family"}'), '1');
    assert.equal(value('gwe_app_restarts_total{app="family"}'), '0');
    assert.equal(value('gwe_last_check_in_success'), '1');
    assert.ok(
      Number(value('gwe_traffic_bytes_total{interface="lo",purpose="download",direction="in"}')) > 500,
    );
  });
});

function near(found: number, expected: number, within: number, what: string): void {
  assert.ok(Math.abs(found - expected) <= within, `${what}: found ${found}, expected ${expected}`);
}

/** Process group of a process, 0 when it is gone. */
function groupOf(pid: string): number {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[2]);
  } catch {
    return 0;
  }
}
