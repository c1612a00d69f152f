/** One suite for the real supervisord and for the fake of the crash matrix: what holds for one must hold for the other. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { GweError } from '../../../src/base/errors.ts';
import { createSupervisorClient, faultOf, type SupervisorClient } from '../../../src/supervisor/client.ts';
import { createFakeSupervisor } from '../../helpers/fake-supervisor.ts';
import { startSupervisord } from '../../helpers/supervisord.ts';
import { until } from '../../helpers/until.ts';

interface Subject {
  client: SupervisorClient;
  confDirectory: string;
  end(): Promise<void>;
}

async function startReal(root: string): Promise<Subject> {
  const { socketPath, confDirectory, stop } = await startSupervisord(root);
  const clock = createSystemClock();
  const client = createSupervisorClient({ address: socketPath, timeoutMs: 5000, maxAttempts: 1, clock });
  return { client, confDirectory, end: stop };
}

async function startFake(root: string): Promise<Subject> {
  const confDirectory = join(root, 'conf.d');
  mkdirSync(confDirectory);
  return { client: createFakeSupervisor(confDirectory).client, confDirectory, end: async () => undefined };
}

for (const [name, start] of [
  ['a real supervisord', startReal],
  ['the fake supervisord', startFake],
] as const) {
  describe(name, () => {
    let root: string;
    let subject: Subject;
    const client = (): SupervisorClient => subject.client;

    before(async () => {
      root = mkdtempSync('/tmp/gwe-fake-');
      subject = await start(root);
    });
    after(async () => {
      await subject.end();
      rmSync(root, { recursive: true, force: true });
    });

    function write(command: string): void {
      const text = `[program:app]\ncommand = ${command}\nstartsecs = 0\n`;
      writeFileSync(join(subject.confDirectory, 'app.conf'), text);
    }

    async function refused(call: Promise<unknown>, fault: string): Promise<void> {
      await assert.rejects(call, (error) => error instanceof GweError && faultOf(error) === fault);
    }

    async function stateOf(): Promise<string | undefined> {
      return (await client().getAllProcessInfo()).find((info) => info.group === 'app')?.statename;
    }

    test('knows a program only after reading its file and being told to add it', async () => {
      await refused(client().addProcessGroup('app'), 'BAD_NAME');
      write('/bin/sleep 1000');
      await refused(client().addProcessGroup('app'), 'BAD_NAME');
      assert.deepEqual(await client().reloadConfig(), { added: ['app'], changed: [], removed: [] });
      assert.equal(await stateOf(), undefined);
      await client().addProcessGroup('app');
      await until(async () => (await stateOf()) === 'RUNNING');
      const [info] = await client().getAllProcessInfo();
      assert.ok(info !== undefined && info.pid > 0 && info.start > 0);
      await refused(client().addProcessGroup('app'), 'ALREADY_ADDED');
    });

    test('sees another text or a file that is gone, and leaves what runs alone', async () => {
      write('/bin/sleep 2000');
      assert.deepEqual(await client().reloadConfig(), { added: [], changed: ['app'], removed: [] });
      rmSync(join(subject.confDirectory, 'app.conf'));
      assert.deepEqual(await client().reloadConfig(), { added: [], changed: [], removed: ['app'] });
      assert.equal(await stateOf(), 'RUNNING');
    });

    test('gives up a group only when it is stopped', async () => {
      await refused(client().removeProcessGroup('app'), 'STILL_RUNNING');
      await client().stopProcessGroup('app');
      await until(async () => (await stateOf()) === 'STOPPED');
      await client().removeProcessGroup('app');
      assert.equal(await stateOf(), undefined);
      await refused(client().removeProcessGroup('app'), 'BAD_NAME');
      await refused(client().stopProcessGroup('app'), 'BAD_NAME');
    });
  });
}
