/**
 * Rollouts under whatever gateways, time and people do, at processes that share a database, with kills between any two
 * calls: against the table of states. The same for each kind of storage.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { IN_FLIGHT, type MemberState } from '../../src/fleet/rollout/member-states.ts';
import { stopOf } from '../../src/fleet/rollout/move.ts';
import { abort, finish, goOn, pause, resume } from '../../src/fleet/rollout/operate.ts';
import { countIn, type Member, type Rollout } from '../../src/fleet/rollout/rollout.ts';
import type { Change } from '../../src/platform/storage/fleet-storage.ts';
import type { Storage } from '../../src/platform/storage/storage.ts';
import { AUDIT } from './fleet-suite-records.ts';
import { countsOf, INTERVAL_S, START_S, startedRollout } from './rollout-parts.ts';
import { within } from './rollout-ways.ts';
import { activated } from './storage-suite-context.ts';

export interface Processes {
  /** Of one database. */
  readonly storages: Storage[];
  setClock(unixSeconds: number): Promise<void>;
  /** The process of this number ends as by SIGKILL, and another takes its place. */
  kill(at: number): Promise<void>;
}

const SIZES = [4, 2];
const MEMBERS = 6;
/** Gateways that come later, if at all: the rollout follows whoever has the app. */
const NEWCOMERS = 2;
const GATEWAYS = MEMBERS + NEWCOMERS;
const CONCURRENCY = 2;

interface Gateway {
  readonly serial: string;
  readonly key: string;
  /** What it was shown last and has not taken. */
  shown?: string | undefined;
  /** Ids of the commands that it has taken: it works on the last. */
  readonly taken: string[];
}

interface Seen {
  readonly rollout: Rollout;
  readonly members: readonly Member[];
}

class World {
  readonly #processes: Processes;
  readonly #product: string;
  readonly #gateways: Gateway[];
  now: number;
  #seen: Seen | undefined;

  constructor(processes: Processes, product: string, now: number, gateways: Gateway[]) {
    this.#processes = processes;
    this.#product = product;
    this.#gateways = gateways;
    this.now = now;
  }

  get #id(): string {
    return this.#product;
  }

  #storage(via: number): Storage {
    const { storages } = this.#processes;
    const found = storages[via % storages.length];
    assert.ok(found !== undefined);
    return found;
  }

  #gateway(at: number): Gateway {
    const found = this.#gateways[at];
    assert.ok(found !== undefined);
    return found;
  }

  async look(via: number): Promise<Seen> {
    const storage = this.#storage(via);
    const found = await storage.findRollout(this.#product, this.#id);
    assert.ok(found !== undefined);
    const { items } = await storage.listMembers(this.#id, { limit: 100 });
    return { rollout: found.rollout, members: items };
  }

  async #checkIn(at: number, via: number, writes: Record<string, unknown>): Promise<string> {
    const texts = Object.entries(writes).map(([alias, value]): [string, string] => [
      alias,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]);
    const reads = texts.length === 0 ? ['engine_fetch'] : [];
    const result = await this.#storage(via).checkIn({ cik: this.#gateway(at).key, writes: texts, reads });
    assert.equal(result.kind, 'done');
    return result.kind === 'done' ? (result.values[0]?.value ?? '') : '';
  }

  async read(at: number, via: number): Promise<void> {
    const text = await this.#checkIn(at, via, {});
    this.#gateway(at).shown = text === '' ? undefined : idOf(text);
  }

  /** Alone, so that what may be shown is known. */
  async readAlone(at: number, via: number): Promise<void> {
    const { rollout, members } = await this.look(via);
    await this.read(at, via);
    const { shown, serial } = this.#gateway(at);
    if (shown === undefined) return;
    assert.equal(rollout.state, 'running', 'a halted rollout shows its command');
    const member = members.find((one) => one.serial === serial);
    assert.ok(member !== undefined && member.wave <= rollout.wave, 'shown before its wave');
    if (member.state === 'waiting')
      assert.ok(countIn(rollout.waves, IN_FLIGHT) < CONCURRENCY, 'shown without a slot');
  }

  async take(at: number, via: number): Promise<void> {
    const gateway = this.#gateway(at);
    const { shown } = gateway;
    if (shown === undefined) return;
    assert.ok(!gateway.taken.includes(shown), `${shown} was commanded twice`);
    gateway.taken.push(shown);
    gateway.shown = undefined;
    await this.#checkIn(at, via, { engine_fetch: '' });
  }

  async report(at: number, via: number, end: Record<string, unknown>): Promise<void> {
    const command = this.#gateway(at).taken.at(-1);
    if (command === undefined) return;
    await this.#checkIn(at, via, {
      fetch_status: { name: 'hello', version: '2.1', tx: `${command}-${at}`, command, ...end },
    });
  }

  async apps(at: number, via: number, version: string): Promise<void> {
    await this.#checkIn(at, via, { engine_report: { apps: [{ hello: { version, status: 'RUNNING' } }] } });
  }

  async passes(seconds: number): Promise<void> {
    this.now += seconds;
    await this.#processes.setClock(this.now);
  }

  tick(): Promise<unknown> {
    return Promise.all(this.#processes.storages.map((storage) => storage.tickRollouts()));
  }

  async change(via: number, change: Change): Promise<void> {
    const which = { product: this.#product, id: this.#id };
    const result = await this.#storage(via).changeRollout(which, change, { ...AUDIT, at: this.now });
    if (typeof result === 'object' && 'refusal' in result) assert.match(result.refusal, /^cannot \w+/);
  }

  async retry(via: number): Promise<void> {
    await this.#storage(via).retryRollout(this.#product, this.#id, { ...AUDIT, at: this.now });
  }

  async kill(via: number): Promise<void> {
    const before = await this.look(via);
    await this.#processes.kill(via % this.#processes.storages.length);
    assert.deepEqual(await this.look(via), before, 'what was acknowledged is there after a kill');
  }

  /** What has to hold after each step, at each process. */
  async check(): Promise<void> {
    for (const via of this.#processes.storages.keys()) {
      const { rollout, members } = await this.look(via);
      assert.equal(
        new Set(members.map(({ serial }) => serial)).size,
        members.length,
        'a gateway is a member once',
      );
      assert.ok(members.length >= (this.#seen?.members.length ?? MEMBERS), 'a member is gone');
      for (const [wave, { counts }] of rollout.waves.entries())
        assert.deepEqual(counts, countsOf(members, wave), `counters of wave ${wave}`);
      if (['running', 'soaking'].includes(rollout.state)) assert.equal(stopOf(rollout), undefined);
      for (const { serial, state } of members)
        this.#checkWay(this.#seen?.members.find((one) => one.serial === serial)?.state, state);
      this.#seen = { rollout, members };
    }
  }

  #checkWay(before: MemberState | undefined, now: MemberState): void {
    if (before !== undefined) assert.ok(within(before, 5).has(now), `${before} became ${now}`);
  }
}

function idOf(command: string): string {
  const { id }: { id?: unknown } = JSON.parse(command);
  return String(id);
}

type Step = fc.AsyncCommand<object, World>;

const step = (name: string, run: (world: World) => Promise<unknown>): Step => ({
  check: () => true,
  async run(_, world) {
    await run(world);
    await world.check();
  },
  toString: () => name,
});

const which = fc.record({ at: fc.nat(GATEWAYS - 1), via: fc.nat(1) });

const read = which.map(({ at, via }) => step(`read(${at}, ${via})`, (world) => world.readAlone(at, via)));
const take = which.map(({ at, via }) => step(`take(${at}, ${via})`, (world) => world.take(at, via)));

/** Reads and takes of several gateways, and ticks, at all processes at once. */
const together = fc
  .record({ first: fc.nat(GATEWAYS - 1), count: fc.integer({ min: 2, max: GATEWAYS }) })
  .map(({ first, count }) =>
    step(`together(${first}, ${count})`, async (world) => {
      const all = Array.from({ length: count }, (_, n) => (first + n) % GATEWAYS);
      const before = countIn((await world.look(0)).rollout.waves, IN_FLIGHT);
      await Promise.all([...all.map((at) => world.read(at, at)), world.tick()]);
      const after = countIn((await world.look(1)).rollout.waves, IN_FLIGHT);
      assert.ok(after <= Math.max(before, CONCURRENCY), `${after} are under way`);
      await Promise.all([...all.map((at) => world.take(at, at + 1)), world.tick()]);
    }),
  );

const ends: Readonly<Record<string, Record<string, unknown>>> = {
  installed: { outcome: 'installed' },
  failed: { outcome: 'rolled-back', code: 'INSTALL_FAILED' },
  offline: { outcome: 'failed-no-change', code: 'PROTOCOL_OFFLINE' },
  waiting: { status: 'in progress', outcome: 'waiting', code: 'BUDGET_SPENT' },
  parked: { status: 'in progress', outcome: 'waiting', code: 'COMMAND_WAITS' },
  progress: { status: 'in progress' },
};

const report = fc
  .record({ which, end: fc.constantFrom(...Object.keys(ends)) })
  .map(({ which: { at, via }, end }) =>
    step(`report(${at}, ${via}, ${end})`, (world) => world.report(at, via, ends[end] ?? {})),
  );

/** The whole way of one gateway, told twice at two processes. */
const whole = fc.record({ which, isGood: fc.boolean() }).map(({ which: { at, via }, isGood }) =>
  step(`whole(${at}, ${via}, ${isGood})`, async (world) => {
    await world.readAlone(at, via);
    await world.take(at, via + 1);
    const end = ends[isGood ? 'installed' : 'failed'] ?? {};
    await Promise.all([world.report(at, via, end), world.report(at, via + 1, end)]);
    await world.apps(at, via, isGood ? '2.1' : '2.0');
  }),
);

const apps = which.map(({ at, via }) => step(`apps(${at})`, (world) => world.apps(at, via, '2.1')));

/** A gateway that has the app, told at all processes at once. */
const come = fc
  .nat(GATEWAYS - 1)
  .map((at) =>
    step(`come(${at})`, (world) => Promise.all([world.apps(at, 0, '2.0'), world.apps(at, 1, '1.9')])),
  );

const time = fc.constantFrom(60, 600, 1800, 7200, 90_000).map((seconds) =>
  step(`after ${seconds} s`, async (world) => {
    await world.passes(seconds);
    await world.tick();
  }),
);

const ACTS = { pause, resume, 'go on': goOn, abort, finish };

const people = fc
  .record({ via: fc.nat(1), act: fc.constantFrom('pause', 'resume', 'resume', 'go on', 'retry', 'retry') })
  .map(({ via, act }) =>
    step(act, async (world) => {
      if (act === 'retry') return world.retry(via);
      const run = act === 'pause' ? ACTS.pause : act === 'resume' ? ACTS.resume : ACTS['go on'];
      return world.change(via, (rollout) => run(rollout, { by: 'ann', at: world.now }));
    }),
  );

/** Seldom: after it little is left to be seen. */
const give = fc
  .nat(9)
  .map((chance) =>
    chance < 2
      ? step(chance === 0 ? 'abort' : 'finish', (world) =>
          world.change(0, (rollout) =>
            chance === 0 ? ACTS.abort(rollout, { by: 'ann', at: world.now }) : ACTS.finish(rollout),
          ),
        )
      : step('look', async () => undefined),
  );

const kill = fc.nat(1).map((via) => step(`kill(${via})`, (world) => world.kill(via)));

const STEPS = [
  whole,
  whole,
  read,
  take,
  together,
  together,
  report,
  report,
  apps,
  come,
  time,
  people,
  give,
  kill,
];

interface Size {
  readonly runs: number;
  readonly steps: number;
}

/** The same steps each time, so that what fails fails again; GWE_SEED for others. */
export function fleetModelTest(
  kind: string,
  open: (t: TestContext) => Promise<Processes>,
  { runs, steps }: Size,
): void {
  test(`${kind}: no gateway is in two states or commanded twice, whatever is killed between two calls`, async (t) => {
    const processes = await open(t);
    let [round, now] = [0, START_S];
    const property = fc.asyncProperty(
      fc.commands(STEPS, { maxCommands: steps, size: 'max' }),
      async (commands) => {
        round += 1;
        const world = await beginRound(processes, `m${round}`, now);
        await fc.asyncModelRun(() => ({ model: {}, real: world }), commands);
        now = world.now + 1;
      },
    );
    await fc.assert(property, { numRuns: runs, seed: Number(process.env.GWE_SEED ?? 20_261_130) });
  });
}

async function beginRound(processes: Processes, product: string, now: number): Promise<World> {
  await processes.setClock(now);
  const [storage] = processes.storages;
  assert.ok(storage !== undefined);
  const gateways: Gateway[] = [];
  for (let at = 0; at < GATEWAYS; at++) {
    const serial = `gw-${at}`;
    const { cik } = await activated(storage, product, serial);
    gateways.push({ serial, key: cik, taken: [] });
    const info = JSON.stringify({ gwe: '2.1.0', interval: INTERVAL_S });
    await storage.checkIn({ cik, writes: [['device_info', info]], reads: [] });
  }
  const started = startedRollout(SIZES, { concurrency: CONCURRENCY, soakS: 600, follow: 'app.hello' });
  const waves = started.waves.map((wave, at) => ({ ...wave, openedAt: at === 0 ? now : 0 }));
  const rollout = { ...started, id: product, startedAt: now, since: now, waves };
  const serials = gateways.slice(0, MEMBERS).map(({ serial }) => serial);
  const of = [serials.slice(0, SIZES[0]), serials.slice(SIZES[0])];
  await storage.createRollout({ product, name: product, rollout }, of, AUDIT);
  return new World(processes, product, now, gateways);
}
