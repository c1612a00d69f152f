/** A rollout under whatever gateways, time and people do, in any order, against the table of its states. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ReportedOutcome } from '../../../../src/fleet/gateway/fetch-status.ts';
import { explain } from '../../../../src/fleet/rollout/explain.ts';
import { IN_FLIGHT, MEMBER_STATES, MEMBER_TRANSITIONS } from '../../../../src/fleet/rollout/member-states.ts';
import { type Pair, stopOf } from '../../../../src/fleet/rollout/move.ts';
import { showCommand } from '../../../../src/fleet/rollout/offer.ts';
import { abort, goOn, pause, type Result, reopen, resume } from '../../../../src/fleet/rollout/operate.ts';
import {
  applyApps,
  applyStatus,
  applyTaking,
  noteHeard,
  retryMember,
} from '../../../../src/fleet/rollout/report.ts';
import { countIn, type Member, type Rollout } from '../../../../src/fleet/rollout/rollout.ts';
import { deadlineOf, tickMember, tickRollout } from '../../../../src/fleet/rollout/tick.ts';
import {
  countsOf,
  membersOf,
  START_S,
  startedRollout,
  statusReport,
} from '../../../helpers/rollout-parts.ts';
import { ALLOWED, within } from '../../../helpers/rollout-ways.ts';

interface Gateway {
  /** The text that it was shown last and has not taken. */
  shown?: string | undefined;
  /** Ids of the commands that it has taken: it works on the last. */
  taken: string[];
  runs: string;
}

/** Platform and gateways. The platform is the code under test; the gateways do what the agent does. */
class World {
  rollout: Rollout;
  readonly members: Member[];
  readonly gateways: Gateway[];
  now = START_S;
  /** Ids that were shown to each since the rollout was last seen going. */
  readonly shownTo: Set<string>[];

  constructor(sizes: readonly number[], concurrency: number) {
    this.rollout = startedRollout(sizes, { concurrency });
    this.members = membersOf(sizes);
    this.gateways = this.members.map(() => ({ taken: [], runs: '2.0' }));
    this.shownTo = this.members.map(() => new Set());
  }

  /** One call of the platform about one gateway, and what has to hold after it. */
  change(at: number, step: (pair: Pair) => Pair): void {
    const member = this.members[at];
    assert.ok(member !== undefined);
    const after = step({ rollout: this.rollout, member });
    assert.ok(
      within(member.state, 3).has(after.member.state),
      `${member.state} became ${after.member.state}`,
    );
    this.members[at] = after.member;
    this.rollout = after.rollout;
  }

  operate(act: (rollout: Rollout, act: { by: string; at: number }) => Result): void {
    const before = JSON.stringify(this.members);
    const result = act(this.rollout, { by: 'ann', at: this.now });
    if ('rollout' in result) this.rollout = result.rollout;
    else assert.match(result.refusal, /^cannot \w+/);
    assert.equal(JSON.stringify(this.members), before);
  }

  check(): void {
    for (const [wave, { counts }] of this.rollout.waves.entries())
      assert.deepEqual(counts, countsOf(this.members, wave), `counters of wave ${wave}`);
    if (['running', 'soaking'].includes(this.rollout.state)) assert.equal(stopOf(this.rollout), undefined);
    assert.notEqual(explain(this.rollout, this.now).waitsFor, '');
    for (const member of this.members) {
      if (this.rollout.state !== 'running' || member.wave > this.rollout.wave) continue;
      const isOpen = ['waiting', ...IN_FLIGHT, 'deferred'].includes(member.state);
      if (isOpen) assert.ok(deadlineOf(this.rollout, member) !== undefined, `${member.state} waits for ever`);
    }
  }
}

type Step = fc.Command<object, World>;

const step = (name: string, run: (world: World) => void): Step => ({
  check: () => true,
  run(_, world) {
    run(world);
    world.check();
  },
  toString: () => name,
});

const MEMBERS = 9;
const which = fc.nat(MEMBERS - 1);

const read = fc
  .record({
    at: which,
    hasCommand: fc.oneof(
      { weight: 9, arbitrary: fc.constant(false) },
      { weight: 1, arbitrary: fc.constant(true) },
    ),
  })
  .map(({ at, hasCommand }) =>
    step(`read(${at}, ${hasCommand})`, (world) => {
      world.change(at, (pair) => {
        const inFlight = countIn(pair.rollout.waves, IN_FLIGHT);
        const shown = showCommand(pair, { at: world.now, hasCommand });
        const { command } = shown;
        if (command === undefined) return shown.pair;
        assert.equal(hasCommand, false, 'a command written by hand is overwritten');
        assert.equal(pair.rollout.state, 'running', 'a halted rollout shows its command');
        assert.ok(pair.member.wave <= pair.rollout.wave, 'shown before its wave');
        if (pair.member.state === 'waiting') assert.ok(inFlight < pair.rollout.policy.concurrency);
        const gateway = world.gateways[at];
        assert.ok(gateway !== undefined);
        gateway.shown = command;
        world.shownTo[at]?.add(idOf(command));
        return shown.pair;
      });
    }),
  );

function idOf(command: string): string {
  const parsed: { id?: unknown } = JSON.parse(command);
  return String(parsed.id);
}

const take = which.map((at) =>
  step(`take(${at})`, (world) => {
    const gateway = world.gateways[at];
    if (gateway?.shown === undefined) return;
    const id = idOf(gateway.shown);
    // The agent takes a text over once for each time that it saw it come.
    assert.ok(!gateway.taken.includes(id), `${id} was commanded twice`);
    gateway.taken.push(id);
    gateway.shown = undefined;
    world.change(at, (pair) => applyTaking(pair, id, world.now));
  }),
);

/** `isLost`: the request that emptied the alias did not come through, and the report is the first word. */
const report = fc
  .record({
    at: which,
    outcome: fc.constantFrom<(ReportedOutcome | 'progress' | 'waiting')[]>(
      'installed',
      'unchanged',
      'rejected',
      'rolled-back',
      'rollback-failed',
      'failed-no-change',
      'progress',
      'waiting',
    ),
    code: fc.constantFrom(undefined, 'PROTOCOL_OFFLINE', 'INSTALL_FAILED', 'CANCELLED'),
    isOld: fc.boolean(),
    isRepeated: fc.boolean(),
  })
  .map(({ at, outcome, code, isOld, isRepeated }) =>
    step(`report(${at}, ${outcome}, ${code})`, (world) => {
      const gateway = world.gateways[at];
      const command = gateway?.taken.at(-1);
      if (gateway === undefined || command === undefined) return;
      const isEnd = outcome !== 'progress' && outcome !== 'waiting';
      const isGood = outcome === 'installed' || outcome === 'unchanged';
      if (isGood) gateway.runs = '2.1';
      const status = statusReport({
        outcome: isEnd ? outcome : undefined,
        isWaiting: outcome === 'waiting',
        command: isOld ? undefined : command,
        code: isEnd && !isGood ? code : undefined,
      });
      world.change(at, (pair) => applyStatus(pair, status, world.now));
      if (isRepeated) world.change(at, (pair) => applyStatus(pair, status, world.now));
    }),
  );

const apps = which.map((at) =>
  step(`apps(${at})`, (world) => {
    const version = world.gateways[at]?.runs ?? '';
    const known = new Map([['hello', { version, status: 'RUNNING', seenAt: world.now }]]);
    world.change(at, (pair) =>
      applyApps({ ...pair, member: noteHeard(pair.member, world.now) }, known, world.now),
    );
  }),
);

const time = fc.constantFrom(60, 600, 1800, 7200, 90_000).map((seconds) =>
  step(`after ${seconds} s`, (world) => {
    world.now += seconds;
    for (const at of world.members.keys()) world.change(at, (pair) => tickMember(pair, world.now));
    world.rollout = tickRollout(world.rollout, world.now);
  }),
);

const people = fc
  .constantFrom<[string, typeof pause][]>(
    ['pause', pause],
    ['resume', resume],
    ['resume', resume],
    ['go on', goOn],
  )
  .map(([name, act]) => step(name, (world) => world.operate(act)));

/** Seldom: after it little is left to be seen. */
const give = fc
  .nat(9)
  .map((chance) =>
    chance === 0 ? step('abort', (world) => world.operate(abort)) : step('look', () => undefined),
  );

const retry = which.map((at) =>
  step(`retry(${at})`, (world) => {
    if (world.members[at]?.state !== 'failed') return;
    const result = reopen(world.rollout, { by: 'ann', at: world.now });
    if (!('rollout' in result)) return;
    world.rollout = result.rollout;
    world.change(at, (pair) => retryMember(pair, world.now, world.now));
  }),
);

/** All the way at once, so that many ends come together. */
const whole = fc
  .record({
    at: which,
    outcome: fc.constantFrom<ReportedOutcome[]>('installed', 'rolled-back'),
    code: fc.constantFrom('PROTOCOL_OFFLINE', 'INSTALL_FAILED'),
  })
  .map(({ at, outcome, code }) =>
    step(`whole(${at}, ${outcome}, ${code})`, (world) => {
      const gateway = world.gateways[at];
      assert.ok(gateway !== undefined);
      world.now += 4000;
      world.change(at, (pair) => {
        const shown = showCommand(pair, { at: world.now, hasCommand: false });
        if (shown.command === undefined) return shown.pair;
        const id = idOf(shown.command);
        world.shownTo[at]?.add(id);
        assert.ok(!gateway.taken.includes(id), `${id} was commanded twice`);
        gateway.taken.push(id);
        gateway.shown = undefined;
        const isGood = outcome === 'installed';
        const status = statusReport({ outcome, command: id, code: isGood ? undefined : code });
        return applyStatus(applyTaking(shown.pair, id, world.now), status, world.now);
      });
    }),
  );

const steps: fc.Arbitrary<Step>[] = [
  whole,
  whole,
  read,
  read,
  take,
  report,
  report,
  apps,
  time,
  people,
  retry,
  give,
];

test('the table has the ways that the design allows, and no others', () => {
  for (const state of MEMBER_STATES) {
    const ways = [...new Set<string>(Object.values(MEMBER_TRANSITIONS[state]))].filter(
      (next) => next !== state,
    );
    const allowed = ALLOWED[state].split(' ').filter((next) => next !== state && next !== '');
    assert.deepEqual(ways.sort(), allowed.sort(), state);
  }
});

test('no member is in two states, none is commanded twice, and the counters are those of the members', () => {
  fc.assert(
    fc.property(
      fc.commands(steps, { maxCommands: 120, size: 'max' }),
      fc.integer({ min: 1, max: 5 }),
      (all, concurrency) => {
        fc.modelRun(() => ({ model: {}, real: new World([3, 6], concurrency) }), all);
      },
    ),
    { numRuns: 400 },
  );
});

test('after a halt nobody takes a command but those that had been shown it', () => {
  fc.assert(
    fc.property(
      fc.commands(steps, { maxCommands: 60, size: 'max' }),
      fc.commands([read, take, report, apps, time], { maxCommands: 40, size: 'max' }),
      fc.constantFrom(pause, abort),
      (before, after, halt) => {
        const world = new World([4, 5], 4);
        fc.modelRun(() => ({ model: {}, real: world }), before);
        world.operate(halt);
        const shown = world.shownTo.map((ids) => new Set(ids));
        fc.modelRun(() => ({ model: {}, real: world }), after);
        for (const [at, { taken }] of world.gateways.entries())
          for (const id of taken) assert.ok(shown[at]?.has(id), `${id} was shown after the halt`);
      },
    ),
    { numRuns: 200 },
  );
});
