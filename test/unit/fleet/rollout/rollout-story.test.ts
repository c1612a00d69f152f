/** Whole rollouts over simulated gateways: what ends well, what stops and where, and what is held for a person. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explain } from '../../../../src/fleet/rollout/explain.ts';
import type { Pair } from '../../../../src/fleet/rollout/move.ts';
import { findObstacle, showCommand } from '../../../../src/fleet/rollout/offer.ts';
import {
  abort,
  approve,
  finishPreparing,
  goOn,
  pause,
  type Result,
  resume,
  submit,
} from '../../../../src/fleet/rollout/operate.ts';
import { applyApps, applyLooping, applyStatus, applyTaking } from '../../../../src/fleet/rollout/report.ts';
import {
  commandId,
  countIn,
  type Member,
  type Policy,
  type Rollout,
} from '../../../../src/fleet/rollout/rollout.ts';
import { tickMember, tickRollout } from '../../../../src/fleet/rollout/tick.ts';
import {
  INTERVAL_S,
  membersOf,
  START_S,
  startedRollout,
  statusReport,
  waitingMember,
} from '../../../helpers/rollout-parts.ts';

const ACT = { by: 'ann', at: START_S };

function must(result: Result): Rollout {
  assert.ok('rollout' in result, 'refusal' in result ? result.refusal : '');
  return result.rollout;
}

/** What becomes of the gateway with this number in the fleet. */
type Fate = (index: number) => 'good' | 'bad' | 'dumb' | 'away';

/** Runs until the rollout ends or asks a person, and not longer than 60 days; each gateway reads once an interval. */
function simulate(
  sizes: readonly number[],
  fate: Fate,
  policy: Partial<Policy> = {},
): { rollout: Rollout; members: Member[] } {
  let rollout = startedRollout(sizes, policy);
  const members = membersOf(sizes);
  for (let now = START_S; now < START_S + 60 * 86_400; now += INTERVAL_S) {
    for (const [at, member] of members.entries()) {
      const before: Pair = { rollout, member };
      const lot = fate(at);
      const pair = lot === 'away' ? before : live(before, lot, now);
      const after = tickMember(pair, now);
      rollout = after.rollout;
      members[at] = after.member;
    }
    rollout = tickRollout(rollout, now);
    if (!['running', 'soaking'].includes(rollout.state)) break;
  }
  return { rollout, members };
}

function live(pair: Pair, fate: 'good' | 'bad' | 'dumb', at: number): Pair {
  const shown = showCommand(pair, { at, hasCommand: false });
  if (shown.command === undefined) return shown.pair;
  const command = commandId(shown.pair.rollout, shown.pair.member);
  const taken = applyTaking(shown.pair, command, at);
  if (fate === 'dumb') return taken;
  if (fate === 'bad')
    return applyStatus(taken, statusReport({ outcome: 'rolled-back', command, code: 'INSTALL_FAILED' }), at);
  const installed = applyStatus(taken, statusReport({ outcome: 'installed', command }), at);
  return applyApps(installed, new Map([['hello', { version: '2.1', status: 'RUNNING', seenAt: at }]]), at);
}

const WAVES = [20, 180, 800, 1000];
const reached = ({ rollout }: { rollout: Rollout }): number =>
  countIn(rollout.waves, ['taken', 'working', 'deferred', 'installed', 'succeeded', 'failed', 'silent']);

test('a good version reaches all of them, wave by wave', () => {
  const { rollout } = simulate(WAVES, () => 'good');
  assert.deepEqual([rollout.state, countIn(rollout.waves, ['succeeded'])], ['done', 2000]);
});

test('one in 200 that fails holds nothing up', () => {
  const { rollout } = simulate(WAVES, (at) => (at % 200 === 150 ? 'bad' : 'good'));
  assert.deepEqual([rollout.state, countIn(rollout.waves, ['failed'])], ['done', 10]);
});

test('a version that fails on nearly all stops at the third gateway', () => {
  const { rollout } = simulate(WAVES, (at) => (at % 10 === 9 ? 'good' : 'bad'), { concurrency: 1 });
  assert.equal(rollout.state, 'paused');
  assert.ok(countIn(rollout.waves, ['failed']) === 3 && countIn(rollout.waves, ['succeeded']) === 0);
  assert.match(rollout.reason, /3 failed and 0 silent of 3 that ended \(wave 1\): none has succeeded/);
  assert.match(explain(rollout, START_S).waitsFor, /paused by rule: 3 failed/);
});

test('15 % that fail stop in the first waves', () => {
  const result = simulate(WAVES, (at) => (at % 7 === 3 ? 'bad' : 'good'), { concurrency: 5 });
  assert.ok(
    ['paused', 'held'].includes(result.rollout.state) && reached(result) <= 200,
    `${reached(result)} reached`,
  );
});

test('15 % that fall silent after they took the command stop it too, and are named', () => {
  const result = simulate(WAVES, (at) => (at % 7 === 3 ? 'dumb' : 'good'));
  assert.ok(
    ['paused', 'held'].includes(result.rollout.state) && reached(result) <= 200,
    `${reached(result)} reached`,
  );
  assert.match(result.rollout.reason, /silent|have succeeded|bad/);
  assert.ok(countIn(result.rollout.waves, ['silent']) > 0);
});

test('a gateway that is switched off does not hold a rollout up, and is named', () => {
  const { rollout } = simulate(WAVES, (at) => (at % 50 === 10 ? 'away' : 'good'));
  assert.deepEqual([rollout.state, countIn(rollout.waves, ['unreachable'])], ['done', 40]);
});

test('silent gateways free their slots', () => {
  const { rollout } = simulate([30], (at) => (at === 0 ? 'dumb' : 'good'), { concurrency: 1 });
  assert.deepEqual([rollout.state, countIn(rollout.waves, ['succeeded', 'silent'])], ['done', 30]);
});

test('held asks a person, who may go on; the rule speaks again when there are more', () => {
  const held = simulate([20, 180], (at) => (at === 3 || at === 5 ? 'bad' : 'good')).rollout;
  assert.equal(held.state, 'held');
  assert.match(held.reason, /wave 1: 10 % are bad \(2 of 20\), the limit is 5 %/);
  const on = must(goOn(held, ACT));
  assert.deepEqual([on.state, on.wave, on.acceptedBad], ['running', 1, 2]);
});

test('after a stop by the rule a person may resume, and one more failure stops it again', () => {
  const stopped = simulate([5, 20], () => 'bad', { concurrency: 1 });
  const resumed = must(resume(stopped.rollout, { by: 'ann', at: START_S + 9999 }));
  assert.equal(resumed.state, 'running');
  const at = stopped.members.findIndex(({ state }) => state === 'waiting');
  const member = stopped.members[at];
  assert.ok(member !== undefined);
  const { rollout } = live({ rollout: resumed, member }, 'bad', START_S + 9999);
  assert.deepEqual([rollout.state, rollout.by], ['paused', 'rule']);
});

test('a pause by a person goes on where it was, and does not hide what the rule says', () => {
  const paused = must(pause(startedRollout([5]), { ...ACT, reason: 'lunch' }));
  assert.deepEqual([paused.state, paused.reason], ['paused', 'lunch']);
  assert.equal(must(resume(paused, ACT)).state, 'running');
});

test('who made a rollout does not approve it', () => {
  const draft: Rollout = { ...startedRollout([5]), state: 'draft', needsApproval: true };
  const submitted = must(submit(draft, ACT));
  assert.equal(submitted.state, 'awaiting-approval');
  const refused = approve(submitted, ACT);
  assert.match('refusal' in refused ? refused.refusal : '', /ann made it, expected another person/);
  const approved = must(approve(submitted, { by: 'ben', at: START_S }));
  assert.equal(must(finishPreparing(approved, ACT)).state, 'running');
});

test('what cannot be done says what the rollout is', () => {
  const done: Rollout = { ...startedRollout([1]), state: 'done' };
  for (const act of [submit, approve, finishPreparing, pause, resume, goOn, abort]) {
    const result = act(done, ACT);
    assert.match('refusal' in result ? result.refusal : '', /^cannot .* rollout 'r1': it is done$/);
  }
});

test('success is the end of the update and the report that shows the version running', () => {
  const member: Member = { ...waitingMember('a', 0), state: 'taken' };
  const rollout: Rollout = { ...startedRollout([1]) };
  const pair: Pair = { rollout, member };
  const apps = (status: string, version = '2.1') =>
    new Map([['hello', { version, status, seenAt: START_S }]]);
  const installed = applyStatus(pair, statusReport({ outcome: 'installed', command: 'r1.1' }), START_S);
  assert.equal(installed.member.state, 'installed');
  assert.equal(applyApps(installed, apps('FATAL'), START_S).member.state, 'installed');
  assert.equal(applyApps(installed, apps('RUNNING', '2.0'), START_S).member.state, 'installed');
  assert.equal(applyApps(installed, apps('EXITED'), START_S).member.state, 'succeeded');
  const shownFirst = applyApps(pair, apps('RUNNING'), START_S);
  assert.equal(shownFirst.member.state, 'taken');
  assert.equal(
    applyStatus(shownFirst, statusReport({ outcome: 'installed', command: 'r1.1' }), START_S).member.state,
    'succeeded',
  );
});

test('all apps of a rollout have to be installed', () => {
  const rollout: Rollout = {
    ...startedRollout([1]),
    artifacts: [
      { app: 'a', version: '1' },
      { app: 'b', version: '2' },
    ],
  };
  const pair: Pair = { rollout, member: { ...waitingMember('x', 0), state: 'taken' } };
  const one = applyStatus(
    pair,
    statusReport({ app: 'a', version: '1', outcome: 'installed', command: 'r1.1' }),
    START_S,
  );
  assert.equal(one.member.state, 'working');
  const both = applyStatus(
    one,
    statusReport({ app: 'b', version: '2', outcome: 'unchanged', command: 'r1.1' }),
    START_S,
  );
  assert.equal(both.member.state, 'installed');
});

test('what gateways have fetched is counted, once for each app of each gateway', () => {
  const pair: Pair = { rollout: startedRollout([1]), member: { ...waitingMember('x', 0), state: 'taken' } };
  const done = statusReport({ outcome: 'installed', command: 'r1.1', bytes: 30, bytesFull: 100 });
  const once = applyStatus(pair, done, START_S);
  assert.deepEqual(once.rollout.fetched, { bytes: 30, fullBytes: 100 });
  assert.deepEqual(applyStatus(once, done, START_S).rollout.fetched, { bytes: 30, fullBytes: 100 });
});

test('faults of the network are tried again later, others are not', () => {
  const pair: Pair = { rollout: startedRollout([1]), member: { ...waitingMember('x', 0), state: 'taken' } };
  const fail = (from: Pair, code: string): Pair =>
    applyStatus(
      from,
      statusReport({ outcome: 'failed-no-change', code, command: commandId(from.rollout, from.member) }),
      START_S,
    );
  const again = fail(pair, 'PROTOCOL_OFFLINE');
  assert.deepEqual(
    [again.member.state, again.member.notBefore, again.member.attempt],
    ['waiting', START_S + 600, 2],
  );
  const reading = { at: START_S + 599, hasCommand: false };
  assert.match(findObstacle(again, reading) ?? '', /next try is later/);
  const third = fail(fail(again, 'DOWNLOAD_INCOMPLETE'), 'DOWNLOAD_INCOMPLETE');
  assert.equal(third.member.state, 'failed');
  assert.equal(fail(pair, 'ARTIFACT_UNTRUSTED').member.state, 'failed');
});

test('a version that goes back or loops later is its failure, in the first fortnight', () => {
  const pair: Pair = {
    rollout: startedRollout([1]),
    member: { ...waitingMember('x', 0), state: 'succeeded' },
  };
  const back = statusReport({ outcome: 'rolled-back' });
  const loop = { app: 'hello', version: '2.1', text: 'was restarted 8 times' };
  assert.equal(applyStatus(pair, back, START_S + 13 * 86_400).member.state, 'failed');
  assert.equal(applyStatus(pair, back, START_S + 15 * 86_400).member.state, 'succeeded');
  assert.equal(applyLooping(pair, loop, START_S + 60).member.code, 'LOOPING');
  assert.equal(applyLooping(pair, { ...loop, version: '2.0' }, START_S + 60).member.state, 'succeeded');
});
