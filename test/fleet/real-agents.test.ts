/**
 * The story of src/fleet/README.md with real agents in real supervisords: one has no patch, one is killed in the middle
 * of an update, and one sleeps for two of its intervals. Five gateways; GWE_FLEET=full: 20.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { noise } from '../helpers/fault-updates.ts';
import { EXECUTABLE } from '../helpers/gateway.ts';
import { makeIndexed } from '../helpers/indexed.ts';
import { type RealFleet, type RealGateway, startRealFleet } from '../helpers/real-fleet.ts';
import { until } from '../helpers/until.ts';

/** How many gateways there are, are in the first wave, and are good in it: three others are not. */
const IS_FULL = process.env.GWE_FLEET === 'full';
const [GATEWAYS, FIRST, GOOD] = IS_FULL ? [20, 5, 2] : [5, 4, 1];
/** What waits for updates of many agents on a busy machine. */
const LONG_MS = 300_000;
const LOOK_MS = 500;
const WAVES = ['--waves', `${FIRST},100%`, '--soak', '0'];
const SERIALS = Array.from({ length: GATEWAYS }, (_, at) => `gw-${String(at + 1).padStart(2, '0')}`);
/** Runs a version that is not in the content area. */
const ODD = 'gw-01';
const CUT = 'gw-02';
const PROGRAM = noise('program', 400_000);

/** Each version differs by a byte in every kilobyte, so that no chunk stays and a patch pays. */
function sine(version: number, installSh: string): Promise<Buffer> {
  const program = Buffer.from(PROGRAM);
  for (let at = 100; at < program.length; at += 1024) program[at] = (program[at] ?? 0) + version;
  return makeIndexed(
    { name: 'sine', version: `${version}` },
    {
      'install.sh': { content: `#!/bin/sh\n${installSh}\nexit 0\n`, mode: 0o755 },
      'bin/run': { content: '#!/bin/sh\nexec sleep 100000\n', mode: 0o755 },
      'bin/program': { content: program },
      'supervisor.conf': '[supervisord]\ncommand = ./bin/run\nstartsecs = 1\nstartretries = 3\n',
    },
  );
}

/** Where a gateway has the file `cut`, it says that it has begun, and waits until the file is gone. */
const WAITS = '[ ! -e "$HOME/cut" ] || : > "$HOME/cut.begun"; while [ -e "$HOME/cut" ]; do sleep 1; done';

/** Works on the first gateways that install it, as many as `good`. */
function onlyWorksOn(directory: string, good: number): string {
  const slots = Array.from({ length: good }, (_, at) => `"${directory}/${at}"`).join(' ');
  const take = `for slot in ${slots}; do mkdir "$slot" 2>/dev/null && exit 0; done`;
  return `${take}
echo "cannot open /dev/ttyS9" >&2
exit 3`;
}

/** By hand, as somebody might on the gateway itself. */
async function installOdd(root: string): Promise<void> {
  const file = join(root, 'sine.v0.tar.gz');
  writeFileSync(file, await sine(0, ''));
  const env = { PATH: process.env.PATH ?? '', HOME: root, GWE_ROOT: root };
  await promisify(execFile)(EXECUTABLE, ['install', file], { env });
}

describe('a fleet of real agents', () => {
  let fleet: RealFleet;
  const show = (id: string) => fleet.gwe('fleet', 'rollout', 'show', 'p1', id);
  const versions = () =>
    fleet.gateways.map(({ root }) => {
      const link = join(root, 'opt/gwe/apps/sine/current');
      return existsSync(link) ? (readlinkSync(link).split('-')[0] ?? '') : '';
    });
  const count = (version: string) => versions().filter((one) => one === version).length;

  async function put(version: number, installSh: string): Promise<string> {
    const name = `sine.v${version}.tar.gz`;
    writeFileSync(join(fleet.home, name), await sine(version, installSh));
    return fleet.gwe('platform', 'content', 'put', 'p1', name);
  }

  async function start(artifact: string, ...options: string[]): Promise<string> {
    const started = await fleet.gwe('fleet', 'rollout', 'start', 'p1', artifact, ...options, '--json');
    const { id }: { id: string } = JSON.parse(started);
    return id;
  }

  /** The command ends when the rollout is over, or waits for a person. */
  async function untilState(id: string, state: string): Promise<string> {
    const watched = await fleet.gwe('fleet', 'rollout', 'show', 'p1', id, '--watch');
    const shown = watched.slice(watched.lastIndexOf(`${id}  `));
    const logs = fleet.gateways.map(({ serial, log }) => `${serial}:\n${log().slice(-3000)}`);
    assert.ok(shown.includes(`  ${state}, wave`), `expected ${state}:\n${watched}\n${logs.join('\n')}`);
    return shown;
  }

  function gateway(serial: string): RealGateway {
    const found = fleet.gateways.find((one) => one.serial === serial);
    assert.ok(found !== undefined, serial);
    return found;
  }

  const untilStatus = (line: RegExp) =>
    until(async () => {
      // Each look starts a process.
      await delay(LOOK_MS);
      return line.test(await fleet.gwe('fleet', 'status', 'p1'));
    }, LONG_MS);

  before(async () => {
    fleet = await startRealFleet(SERIALS);
    await untilStatus(/ 0 never seen/);
    await installOdd(gateway(ODD).root);
    await put(1, '');
    const others = ['--filter', `serial!=${ODD}`, '--waves', '100%', '--soak', '0'];
    await untilState(await start('sine.v1.tar.gz', ...others), 'done');
    await untilStatus(new RegExp(`^sine: 1 on ${GATEWAYS - 1}, 0 on 1$`, 'm'));
  });
  after(() => fleet?.end());

  test('a good version reaches all: by patches, without one, and where the agent was killed in the middle', async () => {
    const cut = gateway(CUT);
    writeFileSync(join(cut.root, 'cut'), '');
    await put(2, WAITS);
    const id = await start('sine.v2.tar.gz', ...WAVES);
    await until(() => existsSync(join(cut.root, 'cut.begun')), LONG_MS);
    await cut.signal('SIGKILL');
    rmSync(join(cut.root, 'cut'));
    const shown = await untilState(id, 'done');
    assert.match(shown, /^no patch from 0 to sine 2: it is not in the content area$/m);
    assert.match(
      shown,
      new RegExp(`^patch from 1 to sine 2: saves .* on each of ${GATEWAYS - 1} gateways$`, 'm'),
    );
    assert.equal(count('2'), GATEWAYS);
    assert.match(cut.log(), /update\.resume .* app=sine version=2 state=installing/);
    const fetched = fleet.gateways.map(({ serial, log }) => [
      serial,
      /note="by a patch from 1: /.test(log()),
    ]);
    assert.deepEqual(
      fetched,
      SERIALS.map((serial) => [serial, serial !== ODD]),
    );
  });

  test('a bad one is stopped, found and undone by six commands, also on a gateway that sleeps meanwhile', async () => {
    const slots = join(fleet.home, 'slots');
    mkdirSync(slots);
    await put(3, onlyWorksOn(slots, GOOD));
    const plan = await fleet.gwe('fleet', 'rollout', 'plan', 'p1', 'sine.v3.tar.gz', ...WAVES);
    assert.match(plan, new RegExp(`^${GATEWAYS} gateways in waves of ${FIRST}, ${GATEWAYS - FIRST}, `, 'm'));
    const id = await start('sine.v3.tar.gz', ...WAVES);
    const paused = await untilState(id, 'paused');
    assert.match(paused, /^waits for somebody to resume or abort it \(paused by rule: 3 failed /m);
    await until(() => count('3') === GOOD, LONG_MS);
    assert.equal(count('2'), GATEWAYS - GOOD, 'the others were never shown it, or are back');
    const asleep = fleet.gateways[versions().indexOf('3')];
    assert.ok(asleep !== undefined);
    await untilStatus(new RegExp(`^sine: 2 on ${GATEWAYS - GOOD}, 3 on ${GOOD}$`, 'm'));
    await asleep.signal('SIGSTOP');
    // Silence is two intervals and two minutes, of which the larger run waits.
    if (IS_FULL) await untilStatus(new RegExp(`^${asleep.serial}: silent`, 'm'));
    await knowsAll(id);
    // An undo leaves out whoever counts as silent.
    if (IS_FULL) {
      await asleep.signal('SIGCONT');
      await untilStatus(new RegExp(`^(?![^]*\\n${asleep.serial}: silent)`));
    }
    const undone = await fleet.gwe('fleet', 'rollout', 'undo', 'p1', id, '--json');
    const { rollouts }: { rollouts: { id: string }[] } = JSON.parse(undone);
    assert.equal(rollouts.length, 1);
    if (!IS_FULL) await until(() => count('3') === 1, LONG_MS);
    await asleep.signal('SIGCONT');
    await untilState(rollouts[0]?.id ?? '', 'done');
    assert.equal(count('2'), GATEWAYS);
  });

  /** Which version runs where, which one fails and why, and who is silent, in three commands. */
  async function knowsAll(id: string): Promise<void> {
    const status = await fleet.gwe('fleet', 'status', 'p1');
    assert.match(status, new RegExp(`^sine: 2 on ${GATEWAYS - GOOD}, 3 on ${GOOD}$`, 'm'));
    assert.match(status, new RegExp(`^rollout ${id} \\(sine 3\\) is paused: 3 failed and `, 'm'));
    assert.equal(status.match(/^gw-\d\d: .*app sine: last update rolled-back/gm)?.length, 3);
    const list = await fleet.gwe('fleet', 'device', 'list', 'p1');
    for (const [at, serial] of SERIALS.entries())
      assert.match(list, new RegExp(`^${serial} +(activated|silent) .*, sine ${versions()[at]}`, 'm'));
    const why = /^3 INSTALL_FAILED: .*cannot open \/dev\/ttyS9 \(gw-\d\d, gw-\d\d, gw-\d\d\)$/m;
    assert.match(await show(id), why);
  }
});
