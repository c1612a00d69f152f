/** One update, fault by fault: the whole chain of states in the journal, what is reported, and which version runs. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GweError } from '../../../src/base/errors.ts';
import {
  REINSTALLED,
  reopenTransaction,
  resumeTransaction,
  runTransaction,
  supersedeTransaction,
} from '../../../src/update/runner.ts';
import { WORKING_STATES, type WorkingState } from '../../../src/update/state-machine.ts';
import { createWorld, NEW, type Script, type World } from '../../helpers/update-world.ts';

const rejected = () => new GweError('ARTIFACT_FORMAT', 'cannot read tarball: 3 bytes, expected more');
const broken = () => new GweError('INSTALL_FAILED', 'cannot install: exit status 3');
const offline = () => new GweError('PROTOCOL_OFFLINE', 'cannot reach the platform');
const unauthorized = () => new GweError('PROTOCOL_UNAUTHORIZED', 'cannot read: status 401');
const spent = () => new GweError('BUDGET_SPENT', 'cannot fetch now: the budget is spent');
const bug = () => new TypeError('x is not a function');
const diskError = (code: string) => Object.assign(new Error(`${code}: write`), { code });

/** Starts gwe again and again, as supervisord does, until nothing is left to do. */
async function settle(world: World, starts = 12): Promise<void> {
  await runTransaction(NEW, world.start()).catch(() => undefined);
  for (let start = 0; start < starts && world.journal.read()?.closed !== true; start += 1)
    await resumeTransaction(world.start()).catch(() => undefined);
}

interface Row {
  what: string;
  script: Script;
  room?: number;
  chain: string;
  reports: string;
  active: string;
}

const ROWS: readonly Row[] = [
  {
    what: 'an update in which nothing goes wrong',
    script: {},
    chain: 'planned downloading verified staged promoted installing activating probing committed',
    reports: 'installed',
    active: 'new',
  },
  {
    what: 'a version whose bytes are here already',
    script: { planned: [{ event: 'skip-fetch' }] },
    chain: 'planned promoted installing activating probing committed',
    reports: 'installed',
    active: 'new',
  },
  {
    what: 'the active version commanded again',
    script: { planned: [{ event: 'skip-fetch', learnt: { notes: [REINSTALLED] } }] },
    chain: 'planned promoted installing activating probing committed',
    reports: 'unchanged',
    active: 'new',
  },
  {
    what: 'a one-off, which has no program to watch',
    script: { activating: [{ event: 'one-off' }] },
    chain: 'planned downloading verified staged promoted installing activating committed',
    reports: 'installed',
    active: 'new',
  },
  {
    what: 'an artifact that is at fault, seen when it is planned',
    script: { planned: [rejected()] },
    chain: 'planned failed',
    reports: 'rejected',
    active: 'old',
  },
  {
    what: 'an artifact that is at fault, seen while it comes',
    script: { downloading: [rejected()] },
    chain: 'planned downloading failed',
    reports: 'rejected',
    active: 'old',
  },
  {
    what: 'an artifact that is at fault, seen when it is unpacked',
    script: { verified: [rejected()] },
    chain: 'planned downloading verified failed',
    reports: 'rejected',
    active: 'old',
  },
  {
    what: 'an artifact that is at fault, seen when it is staged',
    script: { staged: [rejected()] },
    chain: 'planned downloading verified staged failed',
    reports: 'rejected',
    active: 'old',
  },
  {
    what: 'an artifact that is at fault, seen just before its install.sh',
    script: { promoted: [rejected()] },
    chain: 'planned downloading verified staged promoted failed',
    reports: 'rejected',
    active: 'old',
  },
  {
    what: 'an install.sh that fails',
    script: { installing: [broken()] },
    chain: 'planned downloading verified staged promoted installing rolling-back rolled-back',
    reports: 'rolled-back',
    active: 'old',
  },
  {
    what: 'a program that supervisord cannot start',
    script: { activating: [broken()] },
    chain: 'planned downloading verified staged promoted installing activating rolling-back rolled-back',
    reports: 'rolled-back',
    active: 'old',
  },
  {
    what: 'a program that does not stay up',
    script: { probing: [broken()] },
    chain:
      'planned downloading verified staged promoted installing activating probing rolling-back rolled-back',
    reports: 'rolled-back',
    active: 'old',
  },
  {
    what: 'a way back that fails too',
    script: { probing: [broken()], 'rolling-back': [broken()] },
    chain:
      'planned downloading verified staged promoted installing activating probing rolling-back rollback-failed',
    reports: 'rollback-failed',
    active: 'new',
  },
  {
    what: 'a bug of gwe while a version is installed',
    script: { installing: [bug()] },
    chain: 'planned downloading verified staged promoted installing rolling-back rolled-back',
    reports: 'rolled-back',
    active: 'old',
  },
  {
    what: 'a platform that is away when the update is planned, and comes back',
    script: { planned: [offline(), offline()] },
    chain: 'planned downloading verified staged promoted installing activating probing committed',
    reports: 'installed',
    active: 'new',
  },
  {
    what: 'a platform that goes away while the bytes come, and refuses the key after it',
    script: { downloading: [offline(), unauthorized(), offline()] },
    chain: 'planned downloading verified staged promoted installing activating probing committed',
    reports: 'installed',
    active: 'new',
  },
  {
    what: 'a network fault where the bytes are here already',
    script: { probing: [offline()] },
    chain:
      'planned downloading verified staged promoted installing activating probing rolling-back rolled-back',
    reports: 'rolled-back',
    active: 'old',
  },
  {
    what: 'a disk error on the way back, gone at the next start',
    script: { probing: [broken()], 'rolling-back': [diskError('EIO')] },
    chain:
      'planned downloading verified staged promoted installing activating probing rolling-back rolled-back',
    reports: 'rolled-back',
    active: 'old',
  },
  {
    what: 'a full disk on the way back, with room kept for it',
    script: { probing: [broken()], 'rolling-back': [diskError('ENOSPC')] },
    room: 1,
    chain:
      'planned downloading verified staged promoted installing activating probing rolling-back rolled-back',
    reports: 'rolled-back',
    active: 'old',
  },
  {
    what: 'a disk that stays broken on the way back',
    script: { probing: [broken()], 'rolling-back': Array.from({ length: 20 }, () => diskError('EIO')) },
    chain:
      'planned downloading verified staged promoted installing activating probing rolling-back rollback-failed',
    reports: 'rollback-failed',
    active: 'new',
  },
];

describe('an update', () => {
  for (const { what, script, room, chain, reports, active } of ROWS) {
    test(`${what}: ${reports}, and '${active}' runs`, async () => {
      const world = createWorld({ script, ...(room === undefined ? {} : { room }) });
      await settle(world);
      assert.equal(world.chain.join(' '), chain);
      assert.equal(world.reports.join(' '), reports);
      assert.equal(world.active, active);
    });
  }

  test('waits twenty check-ins for a platform, and no longer', async () => {
    const world = createWorld({ script: { downloading: Array.from({ length: 40 }, offline) } });
    await settle(world, 40);
    assert.equal(world.chain.join(' '), 'planned downloading failed');
    assert.equal(world.runs.downloading, 21);
    assert.equal(world.reports.join(' '), 'failed-no-change');
  });

  test('waits for a budget as long as it takes', async () => {
    const world = createWorld({ script: { downloading: Array.from({ length: 200 }, spent) } });
    await settle(world, 250);
    assert.equal(world.reports.join(' '), 'installed');
    assert.equal(world.runs.downloading, 201);
  });
});

const UNTIL: Readonly<Record<WorkingState, string>> = {
  planned: 'planned',
  downloading: 'planned downloading',
  verified: 'planned downloading verified',
  staged: 'planned downloading verified staged',
  promoted: 'planned downloading verified staged promoted',
  installing: 'planned downloading verified staged promoted installing',
  activating: 'planned downloading verified staged promoted installing activating',
  probing: 'planned downloading verified staged promoted installing activating probing',
  'rolling-back': 'planned downloading verified staged promoted installing activating probing rolling-back',
};
const TO_THE_END = `${UNTIL.probing} committed`;

describe('an update that is interrupted', () => {
  for (const state of WORKING_STATES) {
    const isWayBack = state === 'rolling-back';
    const before: Script = isWayBack ? { probing: [broken(), broken()] } : {};
    const end = isWayBack
      ? { chain: `${UNTIL['rolling-back']} rolled-back`, reports: 'rolled-back', active: 'old' }
      : { chain: TO_THE_END, reports: 'installed', active: 'new' };

    for (const act of ['cut', 'cut-after', 'stop'] as const) {
      test(`by '${act}' in '${state}' ends as one that is not`, async () => {
        const world = createWorld({ script: { ...before, [state]: [act] } });
        await settle(world);
        assert.deepEqual(
          { chain: world.chain.join(' '), reports: world.reports.join(' '), active: world.active },
          end,
        );
        assert.equal(world.runs[state], 2, 'its effect ran again from its beginning');
      });
    }

    test(`at every start in '${state}' is given up as a loop, or waited for while nothing is here`, async () => {
      const world = createWorld({ script: { ...before, [state]: Array.from({ length: 30 }, () => 'cut') } });
      await settle(world, 60);
      const isPatient = state === 'planned' || state === 'downloading';
      assert.equal(world.runs[state], isPatient ? 31 : 5);
      const ends = {
        planned: 'installed',
        downloading: 'installed',
        'rolling-back': 'rollback-failed',
        installing: 'rolled-back',
        activating: 'rolled-back',
        probing: 'rolled-back',
      } as Record<string, string>;
      assert.equal(world.reports.join(' '), ends[state] ?? 'failed-no-change');
    });

    test(`by a journal that cannot be written in '${state}' goes on from what it holds`, async () => {
      let isBroken = true;
      const world = createWorld({
        script: before,
        onWrite(transaction) {
          if (transaction.state !== state || !isBroken) return;
          isBroken = false;
          throw diskError('EIO');
        },
      });
      await settle(world);
      if (world.journal.read() === undefined) await runTransaction(NEW, world.start());
      assert.equal(world.chain.join(' '), end.chain);
      assert.equal(world.active, end.active);
      assert.equal(world.reports.at(-1), end.reports);
    });
  }

  test('between its end and the note that it is closed is closed again, and says the same', async () => {
    let closes = 0;
    const world = createWorld({
      onClose() {
        closes += 1;
        if (closes === 1) throw diskError('EIO');
      },
    });
    await settle(world);
    assert.deepEqual([closes, world.reports], [2, ['installed']]);
  });

  test('on a full disk, once it has touched something, is finished in the room kept for that', async () => {
    let full = 1;
    const world = createWorld({
      room: 1,
      onWrite(transaction) {
        if (transaction.state === 'activating' && full-- > 0) throw diskError('ENOSPC');
      },
    });
    await runTransaction(NEW, world.start());
    assert.equal(world.chain.join(' '), TO_THE_END);
  });
});

describe('what can become of an update besides', () => {
  test('an accepted version is taken back, and the way there is in the journal', async () => {
    const world = createWorld();
    const accepted = await runTransaction(NEW, world.start());
    const taken = await reopenTransaction(
      accepted,
      { code: 'SUPERVISOR_UNHEALTHY', message: 'it crashes' },
      world.start(),
    );
    assert.equal(world.chain.join(' '), `${TO_THE_END} rolling-back rolled-back`);
    assert.deepEqual([world.reports, world.active], [['installed', 'rolled-back'], 'old']);
    assert.equal(taken.failure?.state, 'committed');
  });

  test('one that waits for its bytes is given up for a newer command', async () => {
    const world = createWorld({ script: { downloading: [offline()] } });
    await assert.rejects(runTransaction(NEW, world.start()), { code: 'PROTOCOL_OFFLINE' });
    await supersedeTransaction(world.start());
    assert.equal(world.chain.join(' '), 'planned downloading failed');
    assert.deepEqual(world.reports, ['failed-no-change']);
  });

  for (const state of WORKING_STATES.slice(2)) {
    test(`one that is '${state}' is not given up for a newer command`, async () => {
      const script: Script = {
        [state]: ['cut'],
        ...(state === 'rolling-back' ? { probing: [broken()] } : {}),
      };
      const world = createWorld({ script });
      await assert.rejects(runTransaction(NEW, world.start()));
      await supersedeTransaction(world.start());
      assert.equal(world.journal.read()?.state, state);
      assert.deepEqual(world.reports, []);
    });
  }

  test('a clean-up that fails changes no outcome', async () => {
    const world = createWorld();
    const deps = world.start();
    const cleanUp = () => {
      throw diskError('EIO');
    };
    const ended = await runTransaction(NEW, { ...deps, ports: { ...deps.ports, cleanUp } });
    assert.deepEqual([ended.state, world.reports], ['committed', ['installed']]);
    assert.ok(world.log.some((line) => line.startsWith('warn update.clean-up')));
  });

  test('nothing unfinished means nothing to resume', async () => {
    const world = createWorld();
    assert.equal(await resumeTransaction(world.start()), undefined);
    await runTransaction(NEW, world.start());
    assert.equal(await resumeTransaction(world.start()), undefined);
    assert.deepEqual(world.reports, ['installed']);
  });
});

describe('a cancelled update', () => {
  for (const state of WORKING_STATES.filter((one) => one !== 'rolling-back')) {
    test(`ends in '${state}' with what was touched taken back, and is not gone on with`, async () => {
      const world = createWorld({ script: { [state]: ['cancel'] } });
      await settle(world);
      const isTouched = ['installing', 'activating', 'probing'].includes(state);
      assert.deepEqual(world.reports, [isTouched ? 'rolled-back' : 'failed-no-change']);
      assert.equal(world.active, 'old');
      const { failure, isCancelled } = world.journal.read() ?? {};
      assert.equal(failure?.code, 'CANCELLED');
      assert.equal(failure?.state, state);
      assert.equal(isCancelled, true);
    });
  }

  test('goes on where it is beyond that', async () => {
    const script: Script = { promoted: [], installing: ['cancel', { event: 'done' }] };
    const world = createWorld({ script, beyondCancel: ['installing', 'activating', 'probing'] });
    await settle(world);
    // The effect itself threw here: a failure like any other.
    assert.deepEqual(world.reports, ['rolled-back']);
    assert.equal(world.journal.read()?.isCancelled, undefined);
  });

  test('does not stop the way back', async () => {
    const world = createWorld({
      script: { probing: [broken()], 'rolling-back': ['cancel', { event: 'done' }] },
    });
    await settle(world);
    assert.equal(world.journal.read()?.isCancelled, undefined);
  });
});
