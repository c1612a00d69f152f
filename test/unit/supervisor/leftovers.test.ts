/** Which processes count as left by a program: none that a supervisord in a container has started. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readProcessStat } from '../../../src/base/process.ts';
import { findMarked } from '../../../src/supervisor/leftovers.ts';
import { asRoot } from '../../helpers/as-root.ts';
import { until } from '../../helpers/until.ts';

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

rootTest(
  'what supervisord has running is not left by anybody, and what has outlived its leader is',
  async (t) => {
    // Named as supervisord is; it starts a program that leads a group, and one that leaves a process of its group behind.
    const script =
      'setsid sh -c "echo 1; exec sleep 1000" & setsid sh -c "sleep 1000 & echo \\$!" & wait $!; read x';
    const supervisord = spawn('sh', ['-c', script, 'supervisord'], {
      env: { PATH: process.env.PATH ?? '', ...MARK },
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true,
    });
    const ended = once(supervisord, 'exit');
    const marked = (): ReturnType<typeof findMarked> =>
      findMarked({ app: 'hello', owner: process.getuid?.(), address: ADDRESS });
    t.after(async () => {
      supervisord.kill('SIGKILL');
      await ended;
      for (const { pid } of marked()) process.kill(pid, 'SIGKILL');
    });
    let said = '';
    supervisord.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    await until(() => said.trim().split('\n').length === 2);
    const left = Number(said.split('\n').find((line) => line.length > 1));
    await until(() => readProcessStat(readProcessStat(left)?.pgid ?? 0) === undefined);
    assert.deepEqual(
      marked().map(({ pid }) => pid),
      [left],
    );
  },
);
