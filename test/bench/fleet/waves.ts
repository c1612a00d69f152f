/**
 * Rollouts through waves to many gateways of which some fail: where the platform stops each, and where the rules of two
 * other systems would have stopped it, at the same pace. Time is told to the platform, so a day takes seconds.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import * as v from 'valibot';
import { createOtherRules, type OtherRules, type Reach } from './other-rules.ts';
import { type Fleet, PRODUCT } from './parts.ts';
import { type Fate, INTERVAL_S, SCENARIOS, TURNS, versionOf } from './scenarios.ts';
import type { Bench } from './table.ts';

const TURN_S = INTERVAL_S / TURNS;
/** No run takes longer than so many intervals. */
const MOST_TURNS = 40 * TURNS;

export async function waves({ scratch, part, keep, fleet: fleetOf }: Bench): Promise<void> {
  const count = part(10_000);
  const made = await fleetOf(10_000);
  console.log(
    `\n| ${count} gateways | gwe stops after commands (bad ones known) | hawkBit's rule | AWS's rule | gwe says |\n| --- | --: | --: | --: | --- |`,
  );
  for (const [at, { what, fate }] of SCENARIOS.entries()) {
    const fates = Array.from({ length: count }, (_, gateway) => fate(gateway));
    const run = await simulate(scratch, known(scratch, made, at), fates);
    const bad = fates.filter((one) => one !== 'good').length;
    const name = `${what}: ${bad}`;
    const shown = Object.entries(run.stops).map(([whose, reach]) => {
      for (const key of ['commanded', 'bad'] as const)
        if (reach !== undefined) keep({ what: `${name}: ${whose}: ${key}`, value: reach[key], unit: '' });
      return reach === undefined ? '-' : `${reach.commanded} (${reach.bad})`;
    });
    console.log(`| ${[name, ...shown, run.how].join(' | ')} |`);
  }
}

/** The fleet once more, each gateway with version 1 or 0 of an app. */
function known(scratch: string, fleet: Fleet, number: number): Fleet {
  const directory = join(scratch, `wave-${number}`);
  cpSync(fleet.directory, directory, { recursive: true });
  chmodSync(directory, 0o700);
  const database = new DatabaseSync(join(directory, 'platform.db'));
  const insert = database.prepare('INSERT OR REPLACE INTO fleet_gateway (device, knowledge) VALUES (?, ?)');
  const seen = database.prepare('UPDATE device SET last_seen_at = ? WHERE id = ?');
  database.exec('BEGIN');
  for (const [at, { id }] of database.prepare('SELECT id FROM device ORDER BY serial').all().entries()) {
    const app = { version: versionOf(at), status: 'RUNNING', seenAt: START_S };
    const failures = { greatest: 0, isBehind: false, returns: 0 };
    const traces = { boots: [], bootTimes: [], failures, addresses: [] };
    const knowledge = { gweVersion: '2.1.0', intervalS: INTERVAL_S, apps: [['hello', app]], traces };
    insert.run(Number(id), JSON.stringify(knowledge));
    seen.run(START_S, Number(id));
  }
  database.exec('COMMIT');
  database.close();
  return { directory, keyFile: fleet.keyFile };
}

const START_S = 1_800_000_000;

interface Lines {
  /** Sends a line, and returns the one that answers. */
  ask(line: string): Promise<string>;
  first: string;
  end(): Promise<void>;
}

async function start(program: string, args: readonly string[]): Promise<Lines> {
  const path = join(import.meta.dirname, program);
  const child: ChildProcess = spawn(process.execPath, ['--no-warnings', path, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  if (child.stdout === null || child.stdin === null) throw new Error('no pipes');
  const { stdin } = child;
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`${program} has ended`);
    return String(value);
  };
  const first = await next();
  return {
    first,
    async ask(line) {
      stdin.write(`${line}\n`);
      return next();
    },
    async end() {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

interface Run {
  how: string;
  stops: Readonly<Record<string, Reach | undefined>>;
}

async function simulate(scratch: string, fleet: Fleet, fates: readonly Fate[]): Promise<Run> {
  const fateFile = join(scratch, 'fates');
  writeFileSync(fateFile, `${fates.join('\n')}\n`);
  const platform = await start('sim-platform.ts', [fleet.directory, String(START_S)]);
  const [url = '', token = ''] = platform.first.split(' ');
  const gateways = await start('sim-gateways.ts', [url, fleet.keyFile, fateFile]);
  try {
    const api = createApi(url, token);
    return await follow(platform, gateways, { api, ...(await begin(api)), fates });
  } finally {
    await gateways.end();
    await platform.end();
  }
}

type Api = (method: string, path: string, body?: unknown) => Promise<unknown>;

function createApi(url: string, token: string): Api {
  return async (method, path, body) => {
    const reply = await fetch(`${url}/gwe/v2/products/${PRODUCT}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}` },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    if (reply.status >= 300) throw new Error(`${method} ${path}: ${reply.status} ${await reply.text()}`);
    return reply.status === 204 ? undefined : reply.json();
  };
}

const MEMBERS = v.object({
  members: v.array(v.object({ serial: v.string(), wave: v.number() })),
  next: v.nullable(v.string()),
});

interface Begun {
  id: string;
  /** The wave of each gateway, by its number. */
  waveOf: ReadonlyMap<number, number>;
}

/** Waves of 1, 10, 50 and 100 %, a soak of two intervals; otherwise as a rollout is without options. */
async function begin(api: Api): Promise<Begun> {
  await api('PUT', '/content/hello.v2.tar.gz', 'a version');
  const spec = {
    artifacts: ['hello.v2.tar.gz'],
    soakS: 2 * INTERVAL_S,
    concurrency: 1_000_000,
    retriesS: [],
  };
  const { id } = v.parse(v.object({ id: v.string() }), await api('POST', '/rollouts', spec));
  const waveOf = new Map<number, number>();
  for (let after: string | null = ''; after !== null; ) {
    const page: v.InferOutput<typeof MEMBERS> = v.parse(
      MEMBERS,
      await api('GET', `/rollouts/${id}/members?limit=1000&after=${after}`),
    );
    for (const { serial, wave } of page.members) waveOf.set(Number(serial.slice(3)), wave);
    after = page.next;
  }
  return { id, waveOf };
}

const COUNTS = v.record(v.string(), v.number());
const ROLLOUTS = v.object({
  rollouts: v.array(
    v.object({ state: v.string(), reason: v.string(), waves: v.array(v.object({ counts: COUNTS })) }),
  ),
});

interface Following extends Begun {
  api: Api;
  fates: readonly Fate[];
}

async function follow(platform: Lines, gateways: Lines, { api, id, waveOf, fates }: Following): Promise<Run> {
  const sizes: number[] = [];
  for (const wave of waveOf.values()) sizes[wave] = (sizes[wave] ?? 0) + 1;
  const others = createOtherRules(sizes);
  let ours: Reach | undefined;
  let [how, silent] = ['', 0];
  for (let turn = 0; turn < MOST_TURNS; turn++) {
    await platform.ask(String(START_S + turn * TURN_S));
    const took = v.parse(v.array(v.number()), JSON.parse(await gateways.ask(String(turn))));
    const { rollouts } = v.parse(ROLLOUTS, await api('GET', '/rollouts?limit=1'));
    const [rollout] = rollouts;
    const noticed = rollout?.waves.reduce((sum, { counts }) => sum + (counts.silent ?? 0), 0) ?? 0;
    others.silenced(noticed - silent);
    silent = noticed;
    for (const at of took) others.took(waveOf.get(at) ?? 0, fates[at] ?? 'good');
    const isHalted = rollout?.state === 'paused' || rollout?.state === 'held';
    if (how === '' && isHalted) {
      ours = others.now();
      how = `${rollout.state}: ${rollout.reason}`;
    }
    if (rollout?.state === 'done') return { how: how === '' ? 'done' : how, stops: stopsOf(ours, others) };
    if (others.hawkbit !== undefined && others.aws !== undefined && ours !== undefined) break;
    // Theirs go on where ours stopped.
    if (isHalted) await platform.ask(`free ${id}`);
  }
  return { how: how === '' ? 'not over' : how, stops: stopsOf(ours, others) };
}

function stopsOf(ours: Reach | undefined, { hawkbit, aws }: OtherRules): Run['stops'] {
  return { gwe: ours, "hawkBit's rule": hawkbit, "AWS's rule": aws };
}
