/** What it costs to know the fleet: reports that are parsed beside those that are only kept, and lists of gateways. */
import { chmodSync, cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { encodeForm } from '../../../src/protocol/codec.ts';
import { knowledgeOf } from '../../helpers/large-fleet.ts';
import { cost } from './check-ins.ts';
import { drive, type Fleet, PRODUCT, type Served, serve } from './parts.ts';
import { type Bench, middleOf } from './table.ts';

const ROUNDS = 5;

/** The daily reports of a gateway with three apps. */
function reportsOf(names: readonly [string, string, string]): string {
  const apps = ['hello', 'modem', 'sensors'].map((app) => ({
    [app]: {
      version: '1.4.2',
      status: 'RUNNING',
      uptime: 86_400,
      exitstatus: 0,
      digest: 'ab12cd34'.padEnd(64, '0'),
      previous: '1.4.1',
      restarts: 0,
    },
  }));
  const info = {
    df: 'Filesystem 1K-blocks Used Available Use% Mounted on',
    uname: 'Linux gateway 6.1.0 aarch64',
    ipaddrs: ['10.0.0.7'],
    gwe: '2.1.0',
    target: 'linux-arm64',
    boot: 'b9c6b2f6-9c7c-4f60-9d25-0d6f0c3e7a11',
    interval: 14_400,
    uptime: 90_000,
    mounts: [{ mounted: '/opt', free: 5e8 }],
  };
  const status = {
    name: 'hello',
    version: '1.4.2',
    status: 'success',
    outcome: 'installed',
    tx: 't1',
    seq: 0,
  };
  return encodeForm([
    [names[0], JSON.stringify({ apps })],
    [names[1], JSON.stringify(info)],
    [names[2], JSON.stringify(status)],
  ]);
}

export async function reports({ scratch, load, part, tell, fleet: fleetOf }: Bench): Promise<void> {
  const fleet = await fleetOf(10_000);
  const served = await serve(fleet);
  const file = (name: string, names: readonly [string, string, string]): string => {
    writeFileSync(join(scratch, name), reportsOf(names));
    return join(scratch, name);
  };
  const parsed = file('parsed', ['engine_report', 'device_info', 'fetch_status']);
  const kept = file('kept', ['engine_repor_', 'device_inf_', 'fetch_statu_']);
  const count = part(1000);
  const one = async (form: string, from: number): Promise<number> => {
    const args = ['-b', form, '-n', count, '-s', from, served.port, fleet.keyFile];
    return (await cost(served, load, args)).cpuMicroseconds;
  };
  // Compiles what all the others run; and the first report of a gateway is more than the same again.
  for (const form of [kept, parsed])
    await drive(load, ['-b', form, '-n', part(10_000), served.port, fleet.keyFile]);
  const [ofParsed, ofKept]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    ofKept.push(await one(kept, 2 * round * count));
    ofParsed.push(await one(parsed, (2 * round + 1) * count));
  }
  await served.end();
  const [with3, without] = [middleOf(ofParsed), middleOf(ofKept)];
  tell({ what: 'CPU of three reports, only kept', value: without, unit: 'us' });
  tell({ what: 'the same, parsed into gateway, apps and events', value: with3, unit: 'us' });
  tell({ what: 'parsing, each report', value: (with3 - without) / 3, unit: 'us' });
}

/** The fleet once more, each gateway with what is known of one. */
function known(scratch: string, fleet: Fleet): Fleet {
  const directory = join(scratch, 'known');
  cpSync(fleet.directory, directory, { recursive: true });
  chmodSync(directory, 0o700);
  const database = new DatabaseSync(join(directory, 'platform.db'));
  const nowS = Math.floor(Date.now() / 1000);
  const insert = database.prepare('INSERT OR REPLACE INTO fleet_gateway (device, knowledge) VALUES (?, ?)');
  database.exec('BEGIN');
  database.prepare('UPDATE device SET last_seen_at = ?').run(nowS);
  for (const { id } of database.prepare('SELECT id FROM device').all())
    insert.run(Number(id), JSON.stringify(knowledgeOf(Number(id), nowS)));
  database.exec('COMMIT');
  database.close();
  return { directory, keyFile: fleet.keyFile };
}

const LISTS: readonly [what: string, query: string][] = [
  ['the first page', 'limit=100'],
  ['the first page of one version', `limit=100&filter=${encodeURIComponent('app.hello=1.3')}`],
  ['the first page of what is rare', `limit=100&filter=${encodeURIComponent('app.hello.status=FATAL')}`],
];

export async function lists({ scratch, load, part, tell, fleet: fleetOf }: Bench): Promise<void> {
  const fleet = known(scratch, await fleetOf(100_000));
  const served = await serve(fleet);
  await drive(load, ['-n', part(2000), served.port, fleet.keyFile]);
  const checkIns = async (from: number): Promise<number> => {
    const args = ['-r', 500, '-n', part(5000), '-s', from, '-c', 512, served.port, fleet.keyFile];
    const { p99, failed } = await drive(load, args);
    if (failed > 0) throw new Error(`${failed} check-ins failed`);
    return p99;
  };
  tell({ what: 'p99 of check-ins at 500/s, no list', value: await checkIns(5000), unit: 'ms' });
  const ended = new AbortController();
  const times = new Map<string, number[]>();
  const readers = LISTS.map(([what, query]) =>
    read(served, query, ended.signal).then((taken) => times.set(what, taken)),
  );
  const whole = readAll(served, ended.signal);
  const p99 = await checkIns(20_000);
  ended.abort();
  await Promise.all(readers);
  for (const [what] of LISTS)
    tell({
      what: `${part(100_000)} gateways: ${what}, beside check-ins at 500/s`,
      value: middleOf(times.get(what) ?? []),
      unit: 'ms',
      goal: { most: 100 },
    });
  tell({
    what: 'p99 of the check-ins meanwhile, and all pages read beside',
    value: p99,
    unit: 'ms',
    goal: { most: 20 },
  });
  tell({ what: 'pages of 1000 gateways read meanwhile', value: await whole, unit: '' });
  await served.end();
}

interface DevicesPage {
  next: string | null;
}

/** Undefined when it is over. */
async function page(served: Served, query: string, signal: AbortSignal): Promise<DevicesPage | undefined> {
  try {
    const reply = await fetch(`${served.url}/gwe/v2/products/${PRODUCT}/devices?${query}`, {
      headers: { authorization: `Bearer ${served.token}` },
      signal,
    });
    if (reply.status !== 200) throw new Error(`${query}: ${reply.status} ${await reply.text()}`);
    return (await reply.json()) as DevicesPage;
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}

/** The same page again and again, twice a second; how long each took. */
async function read(served: Served, query: string, signal: AbortSignal): Promise<number[]> {
  const taken: number[] = [];
  while (!signal.aborted) {
    const begun = performance.now();
    if ((await page(served, query, signal)) !== undefined) taken.push(performance.now() - begun);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  return taken;
}

/** All pages, one after another, and again. Returns how many. */
async function readAll(served: Served, signal: AbortSignal): Promise<number> {
  let count = 0;
  let after = '';
  while (!signal.aborted) {
    const found = await page(served, `limit=1000&after=${encodeURIComponent(after)}`, signal);
    if (found !== undefined) count++;
    after = found?.next ?? '';
  }
  return count;
}
