/** What a rollout says of time and of several apps reaches the gateways that know it, and holds back those that do not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSigner, readPrivateKey, readPublicKey } from '../../../../src/artifact/manifest/signature.ts';
import {
  commandRefusal,
  decodeSignedCommand,
  signCommand,
} from '../../../../src/artifact/manifest/signed-command.ts';
import { explain, heldBackUntil } from '../../../../src/fleet/rollout/explain.ts';
import type { Pair } from '../../../../src/fleet/rollout/move.ts';
import { findObstacle, showCommand } from '../../../../src/fleet/rollout/offer.ts';
import { applyStatus, applyTaking, noteHeard } from '../../../../src/fleet/rollout/report.ts';
import { countIn, type Policy } from '../../../../src/fleet/rollout/rollout.ts';
import { soakEndsAt, tickMember } from '../../../../src/fleet/rollout/tick.ts';
import { newKey } from '../../../helpers/indexed.ts';
import {
  POLICY,
  START_S,
  startedRollout,
  statusReport,
  waitingMember,
} from '../../../helpers/rollout-parts.ts';

const TWO = [
  { app: 'hello', version: '2.1' },
  { app: 'world', version: '3' },
];
const NEW = { hasCommand: false, gweVersion: '2.1.0' };
const OLD = { hasCommand: false, gweVersion: '2.0.9' };
const DAY_S = 86_400;

function pairOf(policy: Partial<Policy>, artifacts = TWO): Pair {
  return { rollout: { ...startedRollout([1], policy), artifacts }, member: waitingMember('x', 0) };
}

// biome-ignore lint/suspicious/noExplicitAny: the text of a command
const commandOf = (text: string | undefined): any => JSON.parse(text ?? '{}');

test('an agent that knows them is sent time, window and together, at once and alike at each reading', () => {
  const windows = { zone: 'Europe/Berlin', ranges: [{ days: [6, 7], from: '01:00', to: '05:00' }] };
  const notBefore = START_S + DAY_S;
  const first = showCommand(pairOf({ windows, notBefore, together: true }), { ...NEW, at: START_S });
  assert.deepEqual(commandOf(first.command), {
    id: 'r1.1',
    install: [{ name: 'hello.v2.1.tar.gz' }, { name: 'world.v3.tar.gz' }],
    not_before: notBefore,
    window: 'Sat,Sun 01:00-05:00 Europe/Berlin',
    together: true,
  });
  const again = showCommand(first.pair, { ...NEW, at: notBefore + DAY_S });
  assert.equal(again.command, first.command);
});

test('one app alone is not installed together, and without terms a command is as it always was', () => {
  const pair = pairOf({ together: true }, TWO.slice(0, 1));
  for (const gateway of [NEW, OLD])
    assert.equal(
      showCommand(pair, { ...gateway, at: START_S }).command,
      '{"id":"r1.1","install":[{"name":"hello.v2.1.tar.gz"}]}',
    );
});

test('an agent that would install at once is shown the command in its time, and says what it waits for until then', () => {
  const notBefore = START_S + DAY_S;
  const pair = pairOf({ notBefore });
  for (const gweVersion of ['2.0.9', undefined]) {
    const held = showCommand(pair, { hasCommand: false, gweVersion, at: notBefore - 1 });
    assert.equal(held.command, undefined);
    assert.deepEqual([held.pair.member.state, held.pair.member.code], ['waiting', 'AGENT_OLD']);
    assert.match(held.pair.member.reason ?? '', /2\.0\.9 and may install at once|has not said its version/);
    assert.equal(heldBackUntil(held.pair.rollout, held.pair.member, START_S), notBefore);
    const shown = showCommand(held.pair, { hasCommand: false, gweVersion, at: notBefore });
    assert.deepEqual(Object.keys(commandOf(shown.command)), ['id', 'install']);
    assert.deepEqual([shown.pair.member.state, shown.pair.member.code], ['offered', undefined]);
  }
});

test('an agent that cannot install apps together is shown nothing, and is waited for no longer than for one that does not come', () => {
  const read = showCommand(pairOf({ together: true }), { ...OLD, at: START_S });
  assert.equal(read.command, undefined);
  assert.match(
    read.pair.member.reason ?? '',
    /its gwe is 2\.0\.9 and may not install apps together: expected 2\.1\.0 or later/,
  );
  const until = heldBackUntil(read.pair.rollout, read.pair.member, START_S) ?? 0;
  assert.equal(until, START_S + POLICY.reachS);
  const heard = { ...read.pair, member: noteHeard(read.pair.member, until) };
  assert.equal(tickMember(heard, until).member.state, 'waiting');
  assert.equal(tickMember(heard, until + 1).member.state, 'unreachable');
  const updated = showCommand(read.pair, { ...NEW, at: START_S + 60 });
  assert.equal(commandOf(updated.command).together, true);
});

test('a rollout that is halted or whose wave has not begun says nothing of agents', () => {
  const pair = pairOf({ together: true });
  const paused = { ...pair, rollout: { ...pair.rollout, state: 'paused' as const } };
  assert.equal(showCommand(paused, { ...OLD, at: START_S }).pair.member.code, undefined);
  const later = { ...pair, member: waitingMember('x', 1) };
  assert.equal(showCommand(later, { ...OLD, at: START_S }).pair.member.code, undefined);
});

test('what is fetched and waits for its time holds its slot; what waits for its budget does not', () => {
  const shown = showCommand(pairOf({ notBefore: START_S + DAY_S, concurrency: 1 }), { ...NEW, at: START_S });
  const taken = applyTaking(shown.pair, 'r1.1', START_S);
  const waits = statusReport({ isWaiting: true, command: 'r1.1', code: 'COMMAND_WAITS', reason: 'fetched' });
  const parked = applyStatus(taken, waits, START_S + 1);
  assert.deepEqual([parked.member.state, parked.member.reason], ['working', 'fetched']);
  assert.equal(countIn(parked.rollout.waves, ['working']), 1);
  const other: Pair = { rollout: parked.rollout, member: waitingMember('y', 0) };
  assert.match(findObstacle(other, { ...NEW, at: START_S + 2 }) ?? '', /1 gateways are under way/);
  const spent = applyStatus(taken, { ...waits, code: 'BUDGET_SPENT' }, START_S + 1);
  assert.equal(spent.member.state, 'deferred');
});

test('the soak of what was taken early begins when it may be installed', () => {
  const notBefore = START_S + DAY_S;
  const { rollout } = pairOf({ notBefore });
  const waves = rollout.waves.map((wave) => ({ ...wave, lastTakenAt: START_S + 60 }));
  assert.equal(soakEndsAt({ ...rollout, waves }), notBefore + POLICY.soakS);
  assert.equal(explain(rollout, START_S).until, notBefore);
  assert.equal(explain(rollout, notBefore).until, START_S + POLICY.reachS);
});

test('of a command that is carried out together the app that failed says why', () => {
  const shown = showCommand(pairOf({ together: true }), { ...NEW, at: START_S });
  const taken = applyTaking(shown.pair, 'r1.1', START_S);
  const of = (app: string, version: string, code: string): Pair['member'] => ({
    ...applyStatus(
      taken,
      statusReport({ app, version, command: 'r1.1', outcome: 'rolled-back', code }),
      START_S,
    ).member,
  });
  assert.equal(of('hello', '2.1', 'COMMAND_TOGETHER').state, 'working');
  assert.deepEqual(
    [of('world', '3', 'PROBE_FAILED').state, of('world', '3', 'PROBE_FAILED').code],
    ['failed', 'PROBE_FAILED'],
  );
});

test('a signature is passed on as it came, to every agent, and what it is over is what the gateway reads', async () => {
  const pair = newKey();
  const signer = createSigner(readPrivateKey(pair.privateKey, undefined, 'test'));
  const install = TWO.map(({ app, version }) => ({ name: `${app}.v${version}.tar.gz` }));
  const signing = { signer, counter: START_S * 1000, until: START_S + DAY_S };
  const text = await signCommand({ install, together: true }, { product: 'p1' }, signing);
  const { signed } = commandOf(text);
  const windows = { zone: 'Europe/Berlin', ranges: [{ days: [6, 7], from: '01:00', to: '05:00' }] };
  const policy = { signed, together: true, windows, notBefore: START_S + 5 };
  const { command } = showCommand(pairOf(policy), { ...NEW, at: START_S });
  const decoded = decodeSignedCommand(command ?? '');
  assert.ok(decoded.kind === 'signed', command);
  const publicKey = readPublicKey(pair.publicKey, 'boss');
  const boss = { id: pair.keyId, publicKey, name: 'boss', powers: ['commands'] as const };
  assert.equal(commandRefusal(decoded.command, { product: 'p1', serial: 'x' }, [boss]), undefined);
  const other = showCommand(pairOf({ ...policy, together: false }), { ...NEW, at: START_S }).command ?? '';
  const changed = decodeSignedCommand(other);
  assert.ok(changed.kind === 'signed');
  assert.match(commandRefusal(changed.command, { product: 'p1', serial: 'x' }, [boss]) ?? '', /is not what/);
});
