/**
 * Sessions of five people, typed at a terminal of 80x24, then of 40x24, then into a pipe: what they see is kept in
 * test/e2e/screens, a file for each. GWE_WRITE_SCREENS=1 writes them.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { EXECUTABLE } from '../helpers/gateway.ts';
import { removeRoot } from '../helpers/remove-root.ts';
import { assertScreens, steady } from '../helpers/screens.ts';
import { type Supervisord, startSupervisord } from '../helpers/supervisord.ts';
import { openTerminal } from '../helpers/terminal.ts';
import { until } from '../helpers/until.ts';

const SCREENS = join(import.meta.dirname, 'screens');

interface Step {
  typed: string;
  /** Changes something: it is typed once, at the wide terminal. */
  once?: true;
  /** It asks, and this is what it asks and the answer. */
  asks?: readonly [question: string, reply: string];
}

const look = (...typed: string[]): Step[] => typed.map((words) => ({ typed: words }));
const once = (...typed: string[]): Step[] => typed.map((words) => ({ typed: words, once: true }));

const SESSIONS: Readonly<Record<string, readonly Step[]>> = {
  'new-user': [
    ...look('gwe help', 'gwe statsu', 'gwe help exit', 'gwe status'),
    ...once(
      'gwe config set product=acme uuid=gw-1 intervall=5',
      'gwe config set product=acme uuid=gw-1 settle_time=1',
    ),
    ...look('gwe config get uuid', 'gwe list', 'gwe lgos hello', 'gwe keys'),
  ],
  'app-developer': [
    ...once('gwe init hello && cd hello', 'gwe build', 'gwe install hello.v1.tar.gz'),
    ...look('gwe --check-tarball hello.v1.tar.gz', 'gwe inspect hello.v1.tar.gz', 'gwe list'),
    ...once(
      'chmod -x install.sh; sed -i \'s/"1"/"2"/\' buildfile.json',
      'gwe build',
      'chmod +x install.sh; gwe build',
    ),
    ...look('gwe plan hello.v2.tar.gz', 'gwe logs hello -n 1', 'gwe build nothing.json'),
  ],
  operator: [
    ...once(
      'cd ~/hello',
      'gwe platform device add acme gw-1',
      'gwe platform content put acme hello.v2.tar.gz',
      `gwe platform write acme gw-1 engine_fetch '{"install": ["hello.v2"]}'`,
      'gwe platform write acme gw-1 engine_ftch x',
      `gwe platform write acme gw-1 engine_fetch '{"install": [{"name": "hello.v2.tar.gz"}]}'`,
      'gwe --once 2>/dev/null; gwe --once 2>/dev/null',
    ),
    ...look(
      "gwe platform read acme gw-1 fetch_status --pretty | grep -E '^(name|version|status|outcome|active) ' | tr -s ' '",
      'gwe platform device list acme',
      'gwe platform content list acme',
      'gwe platform content list acme -o csv | cut -d, -f1-3',
      'gwe platform content delete acme hello.v2.tar.gz --dry-run',
      'gwe platform content delete acme hello.v2.tar.gz </dev/null',
    ),
  ],
  technician: [
    ...look('gwe status', 'gwe status --check', 'gwe list', 'gwe history', 'gwe logs helo'),
    ...once('gwe rollback hello', 'gwe restart hello'),
    { typed: 'gwe remove hello', once: true, asks: ['Go on?', 'n'] },
    ...look('gwe list -o csv | cut -d, -f1-3', 'gwe remove hello </dev/null', 'gwe rollback gwe'),
  ],
  maintainer: look(
    'gwe help logs',
    'gwe help aliases',
    'gwe history -o yaml',
    'gwe man logs | head -4',
    'gwe list >/dev/full',
    "gwe status --json | tr ',' '\\n' | head -1",
  ),
};

describe('sessions of five people', () => {
  let root = '';
  let home = '';
  let env: Record<string, string> = {};
  let supervisord: Supervisord;
  let platform: ChildProcess;
  const names: Record<string, string> = {};

  before(async () => {
    // Always of the same length, so that lines are folded at the same places.
    root = mkdtempSync('/tmp/gwe-roles-');
    home = join(root, 'home');
    mkdirSync(join(home, 'bin'), { recursive: true });
    symlinkSync(EXECUTABLE, join(home, 'bin/gwe'));
    names[root] = '/tmp/gwe-roles-XXXXXX';
    env = {
      HOME: home,
      GWE_ROOT: root,
      PATH: `${join(home, 'bin')}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:${process.env.PATH}`,
      PAGER: 'cat',
      LC_ALL: 'C.UTF-8',
    };
    supervisord = await startSupervisord(root);
    platform = spawn(
      EXECUTABLE,
      ['platform', 'serve', '--data', join(root, 'platform'), '--listen', '127.0.0.1:0'],
      {
        env,
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    );
    let printed = '';
    platform.stdout?.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
    });
    await until(() => printed.includes('\n'));
    mkdirSync(join(root, 'etc/gwe'), { recursive: true });
    const url = printed.trim().replace('listening on ', '');
    writeFileSync(join(root, 'etc/gwe/Engine.config'), `[engine]\nplatform_url = ${url}\n`);
  });
  after(async () => {
    platform?.kill();
    await supervisord?.stop();
    removeRoot(root);
  });

  for (const [role, steps] of Object.entries(SESSIONS)) {
    test(`${role}, on 80 columns, on 40, and in a pipe`, async (t) => {
      const terminal = await openTerminal(home, env, [80, 24]);
      t.after(() => terminal.close());
      const wide = [];
      for (const { typed, asks } of steps) {
        const lines = await (asks === undefined ? terminal.type(typed) : terminal.answer(typed, ...asks));
        wide.push({ typed, lines: steady(lines, names) });
      }
      await terminal.resize(40, 24);
      const looks = steps.filter((step) => step.once === undefined);
      const narrow = [];
      for (const { typed } of looks) narrow.push({ typed, lines: steady(await terminal.type(typed), names) });
      const piped = [];
      for (const { typed } of looks) piped.push({ typed, lines: steady(await inPipe(typed), names) });
      assertScreens(join(SCREENS, `${role}-80x24.txt`), wide);
      assertScreens(join(SCREENS, `${role}-40x24.txt`), narrow);
      assertScreens(join(SCREENS, `${role}-pipe.txt`), piped);
    });
  }

  test('no screen is wider than its terminal, and the first page of help fits it', () => {
    for (const role of Object.keys(SESSIONS))
      for (const [columns, rows] of [
        [80, 24],
        [40, 24],
      ] as const) {
        const lines = readFileSync(join(SCREENS, `${role}-${columns}x${rows}.txt`), 'utf8').split('\n');
        const typed = (line: string): boolean => line.startsWith('$ ');
        const wide = lines.filter((line) => !typed(line) && line.length > columns + 2);
        assert.deepEqual(wide, [], role);
      }
    const [, help = ''] = readFileSync(join(SCREENS, 'new-user-80x24.txt'), 'utf8').split('$ gwe help\n');
    assert.ok((help.split('\n$ ')[0] ?? '').trimEnd().split('\n').length < 24);
  });

  /** As a script runs it: no terminal anywhere. */
  function inPipe(typed: string): Promise<string[]> {
    const cwd = typed.includes('hello.v') ? join(home, 'hello') : home;
    return new Promise((resolve) => {
      execFile('bash', ['-c', `(${typed}) 2>&1 | cat`], { cwd, env }, (_error, stdout) =>
        resolve(stdout.trimEnd().split('\n')),
      );
    });
  }
});
