/** What a gateway is sure to refuse or to roll back is seen where the tarball is made. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { buildActions } from '../../../../src/cli/developer/build.ts';
import { createTestIo } from '../../../helpers/command-io.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

type Files = Parameters<typeof makeTarball>[0];

const RUN = '#!/bin/sh\nsleep 60\n';
const PROGRAM = '[supervisord]\ncommand = ./run.sh\n';
const APP: Files = {
  'install.sh': INSTALL_OK,
  'supervisor.conf': PROGRAM,
  'run.sh': { content: RUN, mode: 0o755 },
};

function directory(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'gwe-start-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  return root;
}

async function check(t: TestContext, files: Files): Promise<{ status: number; text: string }> {
  const root = directory(t);
  writeFileSync(join(root, 'app.v1.tar.gz'), makeTarball(files));
  const { io, stdout } = createTestIo(root);
  return { status: await buildActions.checkTarball(io, 'app.v1.tar.gz'), text: stdout() };
}

const script = (content: string, mode = 0o755) => ({ content, mode });

const GOOD: readonly [string, Files][] = [
  ['the app of the README', { ...APP, 'health.sh': script('#!/bin/sh\nexit 0\n') }],
  [
    'the app in one directory',
    Object.fromEntries(Object.entries(APP).map(([path, file]) => [`top/${path}`, file])),
  ],
  ['a program that is an ELF file', { ...APP, 'run.sh': script('\u007fELF\u0002\u0001') }],
  [
    'a program of the gateway',
    { ...APP, 'supervisor.conf': '[supervisord]\ncommand = /usr/bin/tail -f x\n' },
  ],
  [
    'a program below a link',
    { ...APP, bin: { link: 'real' }, 'supervisor.conf': '[supervisord]\ncommand = ./bin/x\n' },
  ],
];

for (const [what, files] of GOOD) {
  test(`${what} passes, without a warning about its start`, async (t) => {
    const { status, text } = await check(t, files);
    assert.equal(status, 0, text);
    assert.doesNotMatch(text, /works only if/);
  });
}

const BAD: readonly [string, Files, RegExp][] = [
  [
    'run.sh without x',
    { ...APP, 'run.sh': script(RUN, 0o644) },
    /run\.sh has no x bit \(mode 0644\) - run chmod \+x run\.sh/,
  ],
  [
    'a command whose file is missing',
    { ...APP, 'run.sh': undefined },
    /starts '\.\/run\.sh', which the tarball does not have - add it to "includes"/,
  ],
  [
    'run.sh without an interpreter',
    { ...APP, 'run.sh': script('sleep 60\n') },
    /run\.sh is not a program and does not start with '#!'/,
  ],
  [
    'run.sh with the line ends of Windows',
    { ...APP, 'run.sh': script('#!/bin/sh\r\nsleep 60\r\n') },
    /first line of run\.sh ends in CR LF/,
  ],
  [
    'health.sh without x',
    { ...APP, 'health.sh': script('#!/bin/sh\nexit 0\n', 0o644) },
    /health\.sh has no x bit/,
  ],
  [
    'health.sh of a one-off without x',
    { 'install.sh': INSTALL_OK, 'health.sh': script('#!/bin/sh\n', 0o644) },
    /health\.sh has no x bit/,
  ],
].map(([what, files, message]) => [
  what,
  Object.fromEntries(
    Object.entries(files as Record<string, unknown>).filter(([, file]) => file !== undefined),
  ),
  message,
]) as [string, Files, RegExp][];

for (const [what, files, message] of BAD) {
  test(`${what} fails the check, and says what to do`, async (t) => {
    const { status, text } = await check(t, files);
    assert.equal(status, 1, text);
    assert.match(text.replace(/\s+/g, ' '), message);
  });
}

test('what install.sh may put right is a warning: an app of the original stays good', async (t) => {
  const bare = { 'supervisor.conf': PROGRAM, 'run.sh': script(RUN, 0o644) };
  for (const files of [
    { ...bare, 'install.sh': script('#!/bin/sh\nchmod 755 *.sh\n') },
    { 'supervisor.conf': PROGRAM, 'install.sh': script('#!/bin/sh\ntar xf payload.tar\n') },
    { ...APP, 'health.sh': script('exit 0\n') },
  ]) {
    const { status, text } = await check(t, files);
    assert.equal(status, 0, text);
    assert.match(text, /^\[WARN\] .*it works only if install\.sh takes care of it/m);
  }
});

function appDirectory(t: TestContext): string {
  const root = directory(t);
  const put = (name: string, text: string, mode: number) => writeFileSync(join(root, name), text, { mode });
  put('install.sh', '#!/bin/sh\n', 0o755);
  put('run.sh', RUN, 0o755);
  put('supervisor.conf', PROGRAM, 0o644);
  put('README.md', 'an app', 0o644);
  put('old.v1.tar.gz', '', 0o644);
  return root;
}

test('a new buildfile packs what is there, and says so', async (t) => {
  const root = appDirectory(t);
  const { io, stdout } = createTestIo(root);
  await buildActions.createBuildfile(io, { name: 'app', file: 'b.json' });
  assert.match(stdout(), /It packs install\.sh, run\.sh, supervisor\.conf\./);
  const { includes } = JSON.parse(readFileSync(join(root, 'b.json'), 'utf8'));
  assert.deepEqual(includes, ['install.sh', 'run.sh', 'supervisor.conf']);
  const built = createTestIo(root);
  assert.equal(await buildActions.buildApp(built.io, 'b.json'), 0);
  assert.doesNotMatch(built.stderr(), /left out|WARN.*includes/);
});

test('a build says what it leaves out, first of all a supervisor.conf', async (t) => {
  const root = appDirectory(t);
  const facts = { name: 'app', version: '1', excludes: [], pre_build_cmds: [], post_build_cmds: [] };
  writeFileSync(join(root, 'b.json'), JSON.stringify({ ...facts, includes: ['install.sh'] }));
  const { io, stderr } = createTestIo(root);
  assert.equal(await buildActions.buildApp(io, 'b.json'), 0);
  assert.match(
    stderr(),
    /^\[WARN\] supervisor\.conf is here and not in "includes": the gateway starts no program$/m,
  );
  assert.match(stderr(), /^not in "includes", left out: run\.sh$/m);
  const meant = { ...facts, includes: ['install.sh'], excludes: ['supervisor.conf', 'run.sh'] };
  writeFileSync(join(root, 'c.json'), JSON.stringify(meant));
  const quiet = createTestIo(root);
  assert.equal(await buildActions.buildApp(quiet.io, 'c.json'), 0);
  assert.equal(quiet.stderr(), '', 'what is left out on purpose is not told');
});

for (const [what, more] of [
  ['whose check fails', { includes: ['install.sh', 'supervisor.conf'] }],
  ['whose last command fails', { post_build_cmds: ['exit 3'] }],
] as const) {
  test(`a build ${what} leaves no tarball`, async (t) => {
    const root = appDirectory(t);
    const all = ['install.sh', 'run.sh', 'supervisor.conf'];
    writeFileSync(
      join(root, 'b.json'),
      JSON.stringify({ name: 'app', version: '1', includes: all, ...more }),
    );
    await assert.rejects(buildActions.buildApp(createTestIo(root).io, 'b.json'));
    assert.equal(existsSync(join(root, 'app.v1.tar.gz')), false);
  });
}
