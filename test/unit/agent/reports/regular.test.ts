/** Reports of machines that lie, hide or have too much of everything. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { AppFacts } from '../../../../src/agent/apps/app-facts.ts';
import { countRestarts } from '../../../../src/agent/apps/restarts.ts';
import { type DeviceParts, renderDeviceInfo } from '../../../../src/agent/reports/device-info.ts';
import { renderEngineReport } from '../../../../src/agent/reports/engine-report.ts';
import { cutLines, fitFields } from '../../../../src/agent/reports/report-size.ts';
import { cutText } from '../../../../src/base/text.ts';
import { readMemory } from '../../../../src/machine/facts.ts';
import { readMounts } from '../../../../src/machine/mounts.ts';
import { readProcessTable } from '../../../../src/machine/process-tree.ts';
import { createMissing, type SystemFiles } from '../../../../src/machine/system-files.ts';
import type { ProcessInfo } from '../../../../src/supervisor/client.ts';

const LIMIT_BYTES = 60 * 1024;

/** A machine of these files; every other one cannot be read. */
function machine(
  files: Readonly<Record<string, string | Buffer>>,
  statfs?: SystemFiles['statfs'],
): SystemFiles {
  const fail = (code: string): never => {
    throw Object.assign(new Error(code), { code });
  };
  return {
    read: (path) => Buffer.from(files[path] ?? fail('EACCES')),
    list: (path) =>
      Object.keys(files).flatMap((name) => (name.startsWith(`${path}/`) ? (name.split('/')[2] ?? []) : [])),
    statfs: statfs ?? (() => fail('EIO')),
  };
}

let devices = 100;
const disk = () => ({
  device: ++devices,
  blockBytes: 4096,
  blocks: 1000,
  freeBlocks: 250,
  availableBlocks: 150,
  inodes: 10,
  freeInodes: 4,
});

const parts = (files: SystemFiles, maxBytes = LIMIT_BYTES): DeviceParts => ({
  files,
  gweVersion: '1.0.0',
  gweUptimeS: 5,
  clock: { now: 1_800_000_000, state: 'unverified' },
  supervisord: {},
  maxBytes,
  interfaces: () => ({}),
});

test('what cannot be read is left out and named, and nothing is made up', () => {
  const info = JSON.parse(
    renderDeviceInfo({ ...parts(machine({})), supervisord: { problem: 'it sleeps' } }).text,
  ) as Record<string, unknown>;
  assert.deepEqual([info.df, info.free, info.ipaddrs], ['', '', []]);
  for (const key of ['memory', 'load', 'uptime', 'supervisord']) assert.equal(key in info, false, key);
  assert.deepEqual(info.missing, [
    '/proc/mounts: EACCES',
    '/proc/meminfo: EACCES',
    '/proc/loadavg: EACCES',
    '/proc/uptime: EACCES',
    'supervisord: it sleeps',
  ]);
  const broken = machine({ '/proc/meminfo': 'nonsense', '/proc/loadavg': '', '/proc/uptime': '\u0000' });
  const { missing } = JSON.parse(renderDeviceInfo(parts(broken)).text) as { missing: string[] };
  assert.deepEqual(missing.slice(1), [
    '/proc/meminfo: no MemTotal in it',
    '/proc/loadavg: not as expected',
    '/proc/uptime: not as expected',
  ]);
});

test('the boot and the interval are reported, and another interval is worth a report', () => {
  const of = (intervalS: number) => renderDeviceInfo({ ...parts(machine({})), intervalS });
  const info = JSON.parse(of(300).text);
  assert.match(info.boot, /^[0-9a-f-]{36}$/);
  assert.equal(info.interval, 300);
  assert.notEqual(of(300).stable, of(60).stable);
});

test('mounts: paths that are not UTF-8, white space, remote, hidden, repeated and very many ones', () => {
  const asked: string[] = [];
  const files = machine(
    {
      '/proc/mounts': Buffer.from(
        '/dev/a /with\\040space ext4 rw 0 0\n/dev/b /latin\xe9 ext4 rw 0 0\nserver:/x /nas nfs4 rw 0 0\n' +
          'proc /proc proc rw 0 0\ntmpfs /proc/acpi tmpfs rw 0 0\n/dev/c /gone ext4 rw 0 0\n' +
          '/dev/d /same ext4 rw 0 0\n/dev/d /same/again ext4 rw 0 0\nhalf a line',
        'latin1',
      ),
    },
    (path) => {
      asked.push(path.toString('latin1'));
      if (path.toString() === '/gone') throw Object.assign(new Error('x'), { code: 'ENOENT' });
      return { ...disk(), ...(path.toString().startsWith('/same') ? { device: 1 } : {}) };
    },
  );
  const missing = createMissing();
  const { mounts } = readMounts(files, missing);
  assert.deepEqual(
    mounts.map(({ path }) => path),
    ['/with space', '/latin\uFFFD', '/same', 'a'],
  );
  assert.ok(asked.includes('/latin\xe9'), 'asked by the bytes that the kernel gave');
  assert.ok(!asked.includes('/nas'), 'a server that is gone would hold gwe');
  assert.deepEqual(missing.notes(), ['/nas: nfs4, not asked: its server may be gone', '/gone: ENOENT']);
  assert.deepEqual(
    [mounts[0]?.blocks, mounts[0]?.used, mounts[0]?.available, mounts[0]?.percent, mounts[0]?.freeInodes],
    [4000, 3000, 600, 84, 4],
  );
  const lines = Array.from({ length: 500 }, (_, n) => `/dev/x /m${n}${'y'.repeat(3000)} ext4 rw 0 0`);
  const many = machine({ '/proc/mounts': lines.join('\n') }, disk);
  const text = renderDeviceInfo(parts(many)).text;
  const info = JSON.parse(text) as { mounts: { path: string }[]; mounts_left_out: number };
  assert.equal(info.mounts.length, 20);
  assert.ok(info.mounts_left_out > 100, String(info.mounts_left_out));
  assert.match(info.mounts[0]?.path ?? '', /y\.\.\.$/);
  assert.ok(Buffer.byteLength(text) < LIMIT_BYTES);
  const small = renderDeviceInfo(parts(many, 4096)).text;
  assert.ok(Buffer.byteLength(small) <= 4096, String(Buffer.byteLength(small)));
  assert.deepEqual(Object.keys(JSON.parse(small) as object).slice(0, 4), ['df', 'uname', 'free', 'ipaddrs']);
  assert.match(small, /lines left out\]/);
  assert.match(small, /"left_out":\[.*"mounts"/);
});

test('memory: the limit of the container counts, of both versions of cgroups, and its absence is no fault', () => {
  const meminfo = 'MemTotal: 1000 kB\nMemFree: 100 kB\n';
  const read = (files: Record<string, string>) => {
    const missing = createMissing();
    const memory = readMemory(machine({ '/proc/meminfo': meminfo, ...files }), missing);
    assert.deepEqual(missing.notes(), []);
    return memory?.facts;
  };
  assert.deepEqual(read({}), { totalBytes: 1024_000 });
  const limited = { totalBytes: 1024_000, limitBytes: 4096, limitUsedBytes: 1000 };
  assert.deepEqual(
    read({
      '/proc/self/cgroup': '0::/a/b\n',
      '/sys/fs/cgroup/a/memory.max': '4096\n',
      '/sys/fs/cgroup/a/memory.current': '1000\n',
      '/sys/fs/cgroup/a/b/memory.max': 'max\n',
      '/sys/fs/cgroup/a/b/memory.current': '900\n',
    }),
    limited,
  );
  assert.deepEqual(
    read({
      '/proc/self/cgroup': '5:cpu:/x\n4:memory:/x\n',
      '/sys/fs/cgroup/memory/x/memory.limit_in_bytes': '4096\n',
      '/sys/fs/cgroup/memory/x/memory.usage_in_bytes': '1000\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
      '/sys/fs/cgroup/memory/memory.usage_in_bytes': '1\n',
    }),
    limited,
  );
});

const INSTALLED_MS = Date.parse('2026-11-23T15:00:03Z');

const stat = (ppid: number, pgid: number, ticks: number, state = 'S'): string =>
  `1 (a) b) ${state} ${ppid} ${pgid} 0 0 0 0 0 0 0 0 ${ticks} 0 0 0 20 0 1 0 5`;

test('a process tree: descendants and the group count, hidden entries are skipped, zombies hold no memory', () => {
  const files = machine({
    '/proc/10/stat': stat(1, 10, 100),
    '/proc/10/smaps_rollup': 'Pss:  100 kB\n',
    '/proc/11/stat': stat(10, 11, 50),
    '/proc/11/smaps_rollup': 'Pss:  20 kB\n',
    '/proc/12/stat': stat(1, 10, 7),
    '/proc/12/smaps_rollup': 'Pss:  3 kB\n',
    '/proc/13/stat': stat(10, 10, 1, 'Z'),
    '/proc/14/comm': 'hidden',
    '/proc/15/stat': 'garbage',
    '/proc/99/stat': stat(1, 99, 1000),
    '/proc/99/status': 'VmRSS:\t 77 kB\n',
  });
  const table = readProcessTable(files);
  assert.deepEqual(table.tree(10), {
    processes: 4,
    cpuSeconds: 1.58,
    memoryBytes: 123 * 1024,
    memoryKind: 'pss',
  });
  // Another user's: the maps are closed, the status is not.
  assert.deepEqual(table.tree(99), {
    processes: 1,
    cpuSeconds: 10,
    memoryBytes: 77 * 1024,
    memoryKind: 'rss',
  });
  assert.equal(table.tree(14), undefined);
  assert.equal(table.tree(1), undefined);
});

function app(name: string, more: Partial<AppFacts> = {}): AppFacts {
  return {
    app: name,
    version: '1',
    status: 'RUNNING',
    exitStatus: 0,
    uptimeS: 3723,
    digest: 'a'.repeat(64),
    last: { outcome: 'installed', version: '1', endedAtMs: 5000 },
    ...more,
  };
}

test('300 apps: every one has its documented fields, those that do not run have all', () => {
  const apps = Array.from({ length: 300 }, (_, n) =>
    app(`application_number_${n}`, n % 100 === 99 ? { status: 'FATAL', problem: 'p'.repeat(5000) } : {}),
  );
  const { text } = renderEngineReport(apps, { files: machine({}), maxBytes: LIMIT_BYTES, problem: 'slow' });
  assert.ok(Buffer.byteLength(text) <= LIMIT_BYTES, String(Buffer.byteLength(text)));
  const report = JSON.parse(text) as {
    apps: Record<string, Record<string, unknown>>[];
    short: number;
    more?: number;
    missing: string[];
  };
  assert.equal(report.apps.length, 300);
  assert.equal(report.more, undefined);
  assert.deepEqual(report.missing, ['supervisord: slow']);
  const rows = report.apps.flatMap((row) => Object.values(row));
  assert.ok(rows.every((row) => row.uptime === '1:02:03' || row.status === 'FATAL'));
  assert.equal(rows.filter(({ digest }) => digest === undefined).length, report.short);
  const failed = rows.filter(({ status }) => status === 'FATAL');
  assert.equal(failed.length, 3);
  for (const row of failed) assert.match(String(row.problem), /^p{197}\.\.\.$/);
  const few = renderEngineReport(apps, { files: machine({}), maxBytes: 4096 }).text;
  const cut = JSON.parse(few) as { apps: unknown[]; more: number };
  assert.ok(Buffer.byteLength(few) <= 4096);
  assert.equal(cut.apps.length + cut.more, 300);
});

test('what changes constantly is not worth a report, what an operator would ask about is', () => {
  const render = (more: Partial<AppFacts>): string =>
    renderEngineReport([app('a', more)], { files: machine({}), maxBytes: LIMIT_BYTES }).stable;
  const before = render({ restarts: 5 });
  assert.equal(render({ restarts: 6, uptimeS: 9, pid: 5 }), before);
  for (const change of [
    { status: 'FATAL' },
    { version: '2' },
    { restarts: 9 },
    { previous: '0' },
    { digest: 'b' },
  ])
    assert.notEqual(render({ restarts: 5, ...change }), before, JSON.stringify(change));
  const device = (free: number): string =>
    renderDeviceInfo(
      parts(
        machine({ '/proc/mounts': '/dev/a / ext4 rw 0 0', '/proc/uptime': String(free) }, () => ({
          ...disk(),
          freeBlocks: free,
          availableBlocks: free,
        })),
      ),
    ).stable;
  assert.equal(device(250), device(245));
  assert.notEqual(device(250), device(150));
});

test('texts are cut between characters, with a mark', () => {
  assert.equal(cutText('abc', 3), 'abc');
  assert.equal(cutText('äöü€', 6), 'ä...');
  assert.equal(cutText('\u{1F600}\u{1F600}', 7), '\u{1F600}...');
  assert.equal(cutText('a\uD83Db', 20), 'a\uFFFDb');
  for (let bytes = 3; bytes < 30; bytes++) {
    const cut = cutText('\u{1F600}€ä"\\\n'.repeat(5), bytes);
    assert.ok(Buffer.byteLength(cut) <= bytes && !cut.includes('\uFFFD'), JSON.stringify(cut));
  }
  assert.equal(cutLines('one\ntwo\nthree', 100), 'one\ntwo\nthree');
  assert.equal(cutLines('one\ntwo\nthree'.padEnd(60, '!'), 40), 'one\ntwo\n[... 1 lines left out]');
  const fitted = fitFields(
    { a: 1 },
    [
      ['b', 'x'.repeat(50)],
      ['c', undefined],
      ['d', 2],
    ],
    40,
  );
  assert.deepEqual(fitted, { a: 1, d: 2, left_out: ['b'] });
});

test("restarts are the starts in supervisord's log, also when it was rotated or says nothing", () => {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-restarts-'));
  const file = join(directory, 'restarts.json');
  const info = (start: number): ProcessInfo => ({
    name: 'a',
    group: 'a',
    statename: 'RUNNING',
    pid: 1,
    exitstatus: 0,
    spawnerr: '',
    start,
    stop: 0,
    now: 0,
    description: '',
    stdout_logfile: '',
  });
  const line = (n: number, name = 'a'): string =>
    `2026-11-23 15:00:0${n},123 INFO spawned: '${name}' with pid ${n}\n`;
  const count = (log: string, start: number, digest = 'd1', isKept = true): number | undefined =>
    countRestarts(
      file,
      [{ app: 'a', digest, installedAtMs: INSTALLED_MS, processes: [info(start)] }],
      log,
      isKept,
    ).get('a');
  assert.equal(count(line(1), 1), 0);
  assert.equal(count(line(1) + line(2) + line(3) + line(4, 'b'), 3, 'd1', false), 2);
  assert.equal(count(line(1) + line(2) + line(3) + line(4, 'b'), 3), 2);
  assert.equal(count(line(1) + line(2) + line(3) + line(4, 'b'), 3), 2, 'the same lines count once');
  assert.equal(count(line(5), 5), 3, 'after a rotation');
  assert.equal(count('', 6), 4, 'a log without such lines');
  assert.equal(count(line(5) + line(7), 7, 'd2'), 0, "a new version's first start is not a restart");
  // Two starts before the update was accepted, three after it, seen by a supervisord in another time zone.
  const shown = (seconds: number, pid: number): string =>
    `2026-11-23 18:30:0${seconds},500 INFO spawned: 'a' with pid ${pid}\n`;
  const lines = [shown(1, 11), shown(2, 12), shown(4, 13), shown(5, 14), shown(6, 1)].join('');
  assert.equal(count(lines, INSTALLED_MS / 1000 + 3, 'd3'), 3);
  rmSync(directory, { recursive: true });
});
