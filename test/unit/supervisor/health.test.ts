/** What counts as a good end differs between versions of supervisord. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import type { ProcessInfo } from '../../../src/supervisor/client.ts';
import { waitUntilHealthy } from '../../../src/supervisor/health.ts';
import { createFakeSupervisor } from '../../helpers/fake-supervisor.ts';

const ENDED: ProcessInfo = {
  name: 'job',
  group: 'job',
  statename: 'EXITED',
  pid: 0,
  exitstatus: 2,
  spawnerr: '',
  start: 10,
  stop: 11,
  now: 12,
  description: '',
  stdout_logfile: '',
};

function judge(version: string, text: string): Promise<string> {
  const { client } = createFakeSupervisor('/none');
  const other = { getVersion: async () => version, getAllProcessInfo: async () => [ENDED] };
  const options = { settleMs: 0, deadlineMs: 1000, clock: createSystemClock(), programText: text };
  return waitUntilHealthy({ ...client, ...other }, 'job', options);
}

test('a job that ends with 2 has ended well for supervisord 3, and not for 4, unless its entry says which', async () => {
  const plain = '[program:job]\ncommand = job\nstartsecs = 0\nautorestart = false\n';
  assert.equal(await judge('3.0', plain), 'finished');
  assert.equal(await judge('3.4.0', plain), 'finished');
  await assert.rejects(judge('4.0.0', plain), /exit status 2/);
  await assert.rejects(judge('4.3.0', plain), /exit status 2/);
  assert.equal(await judge('4.2.5', `${plain}exitcodes = 0,2\n`), 'finished');
  await assert.rejects(judge('3.3.5', `${plain}exitcodes = 0\n`), /exit status 2/);
});
