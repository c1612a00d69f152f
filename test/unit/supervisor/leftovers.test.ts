/** Which processes count as left by a program: none that a supervisord in a container has started. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { findMarked } from '../../../src/supervisor/leftovers.ts';
import { asRoot } from '../../helpers/as-root.ts';

const rootTest = asRoot(import.meta.filename);
const ADDRESS = '/run/gwe-leftovers-test.sock';
const MARK = {
  SUPERVISOR_ENABLED: '1',
  SUPERVISOR_SERVER_URL: `unix://${ADDRESS}`,
  SUPERVISOR_GROUP_NAME: 'hello',
};

rootTest('a process with the mark of an app is found, and one in a container is left alone', async (t) => {
  // Both have the mark: unshare itself stays here, and what it starts is in a namespace of its own.
  const here = spawn(
    'unshare',
    ['--pid', '--fork', '--kill-child', 'sh', '-c', 'echo runs; exec sleep 1000'],
    {
      env: { PATH: process.env.PATH ?? '', ...MARK },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const ended = once(here, 'exit');
  t.after(async () => {
    here.kill('SIGKILL');
    await ended;
  });
  const [line] = await Promise.race([
    once(here.stdout, 'data'),
    ended.then(([status]) => Promise.reject(new Error(`unshare ended with ${status}`))),
  ]);
  assert.equal(String(line), 'runs\n');
  const found = findMarked({ app: 'hello', owner: process.getuid?.(), address: ADDRESS });
  assert.deepEqual(
    found.map(({ pid }) => pid),
    [here.pid],
  );
});
