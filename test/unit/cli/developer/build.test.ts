import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { buildActions } from '../../../../src/cli/developer/build.ts';
import { createTestIo } from '../../../helpers/command-io.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

function workDirectory(t: TestContext, files: Record<string, string | [string, number]> = {}): string {
  const root = mkdtempSync(join(tmpdir(), 'gwe-build-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  for (const [path, given] of Object.entries(files)) {
    const [content, mode] = typeof given === 'string' ? [given, 0o644] : given;
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), content, { mode });
  }
  return root;
}

/** What tar lists behind the manifest and the signatures, which every built tarball begins with. */
const list = (file: string): string[] => {
  const all = execFileSync('tar', ['tzf', file], { encoding: 'utf8' }).trim().split('\n');
  assert.deepEqual(all.splice(0, 2), ['.gwe/manifest.json', '.gwe/signatures.json']);
  return all;
};

const buildfile = (more: object): string =>
  JSON.stringify({ name: 'app', version: '1', includes: ['install.sh'], ...more });

test('vector 53: the sine buildfile gives a flat tarball of three files, and one absolute path on stdout', async (t) => {
  const root = workDirectory(t, {
    'gwe-buildfile.json': JSON.stringify({
      name: 'gmq_demo',
      version: '5',
      includes: ['install.sh', 'gmq_demo.py', 'supervisor.conf'],
      excludes: [],
      pre_build_cmds: ['echo building; sed "s/PORT/8000/" gmq_demo.py.in > gmq_demo.py'],
      post_build_cmds: ['rm gmq_demo.py'],
    }),
    'install.sh': [INSTALL_OK, 0o755],
    'gmq_demo.py.in': 'port = PORT\n',
    'supervisor.conf': '[supervisord]\ncommand = python gmq_demo.py\nenvironment = A=1\nenvironment = B=2\n',
  });
  const { io, stdout } = createTestIo(root);
  assert.equal(await buildActions.buildApp(io, 'gwe-buildfile.json'), 0);
  const file = join(root, 'gmq_demo.v5.tar.gz');
  assert.equal(stdout(), `${file}\n`);
  assert.deepEqual(list(file), ['gmq_demo.py', 'install.sh', 'supervisor.conf']);
  assert.equal(execFileSync('tar', ['xzOf', file, 'gmq_demo.py'], { encoding: 'utf8' }), 'port = 8000\n');
  assert.equal(existsSync(join(root, 'gmq_demo.py')), false, 'the post command ran');
});

test('globs, excludes and directories select what is packed', async (t) => {
  const root = workDirectory(t, {
    'b.json': buildfile({
      includes: ['install.sh', 'lib', '*.txt'],
      excludes: ['*.pyc', 'lib/secret', '**/cache'],
    }),
    'install.sh': [INSTALL_OK, 0o755],
    'a.txt': '',
    '.hidden.txt': '',
    'lib/x.py': '',
    'lib/x.pyc': '',
    'lib/.env': '',
    'lib/secret/key': '',
    'lib/deep/cache/y': '',
    'other/z': '',
  });
  assert.equal(await buildActions.buildApp(createTestIo(root).io, 'b.json'), 0);
  assert.deepEqual(list(join(root, 'app.v1.tar.gz')), [
    'a.txt',
    'install.sh',
    'lib/',
    'lib/.env',
    'lib/deep/',
    'lib/x.py',
  ]);
});

test('a second build does not pack the tarball of the first', async (t) => {
  const root = workDirectory(t, { 'install.sh': [INSTALL_OK, 0o755], data: 'x' });
  const identity = { name: 'app', version: '1' };
  assert.equal(await buildActions.buildAppTarball(createTestIo(root).io, identity), 0);
  const first = readFileSync(join(root, 'app.v1.tar.gz'));
  assert.equal(await buildActions.buildAppTarball(createTestIo(root).io, identity), 0);
  assert.deepEqual(readFileSync(join(root, 'app.v1.tar.gz')), first);
  assert.deepEqual(list(join(root, 'app.v1.tar.gz')), ['data', 'install.sh']);
});

test('commands see the environment, and run in order in the directory', async (t) => {
  const root = workDirectory(t, {
    'b.json': buildfile({
      includes: ['install.sh', 'out'],
      pre_build_cmds: ['echo "$PRODUCT_ID" > out', 'pwd >> out'],
    }),
    'install.sh': [INSTALL_OK, 0o755],
  });
  const { io } = createTestIo(root, '', { env: { PATH: process.env.PATH, PRODUCT_ID: 'p 1' } });
  await buildActions.buildApp(io, 'b.json');
  assert.equal(readFileSync(join(root, 'out'), 'utf8'), `p 1\n${root}\n`);
});

test('a command that fails stops the build and is named', async (t) => {
  const root = workDirectory(t, {
    'b.json': buildfile({ pre_build_cmds: ['true', 'exit 3'] }),
    'install.sh': [INSTALL_OK, 0o755],
  });
  const { io, stdout } = createTestIo(root);
  await assert.rejects(
    buildActions.buildApp(io, 'b.json'),
    /pre_build_cmds\[1\] 'exit 3' ended with exit status 3/,
  );
  assert.equal(stdout(), '');
  assert.equal(existsSync(join(root, 'app.v1.tar.gz')), false);
});

test('an include that is not there, or outside, is named', async (t) => {
  const root = workDirectory(t, {
    'a.json': buildfile({ includes: ['nothing*'] }),
    'b.json': buildfile({ includes: ['../x'] }),
  });
  await assert.rejects(
    buildActions.buildApp(createTestIo(root).io, 'a.json'),
    /cannot pack 'nothing\*': nothing there/,
  );
  await assert.rejects(
    buildActions.buildApp(createTestIo(root).io, 'b.json'),
    /cannot pack '\.\.\/x': outside/,
  );
});

test('a link that leaves the tree is refused when packing already', async (t) => {
  const root = workDirectory(t, {
    'b.json': buildfile({ includes: ['install.sh', 'l'] }),
    'install.sh': [INSTALL_OK, 0o755],
  });
  execFileSync('ln', ['-s', '/etc/passwd', join(root, 'l')]);
  await assert.rejects(
    buildActions.buildApp(createTestIo(root).io, 'b.json'),
    /'l'.*absolute path '\/etc\/passwd'/,
  );
});

test('a link up and out of the tree is refused in one plain sentence', async (t) => {
  const root = workDirectory(t, {
    'b.json': buildfile({ includes: ['install.sh', 'sub'] }),
    'install.sh': [INSTALL_OK, 0o755],
    'sub/file': '',
  });
  execFileSync('ln', ['-s', '../../etc/passwd', join(root, 'sub/l')]);
  await assert.rejects(
    buildActions.buildApp(createTestIo(root).io, 'b.json'),
    /'sub\/l': a link to '\.\.\/\.\.\/etc\/passwd', which is outside of it, expected a link/,
  );
});

test('a buildfile that is a directory fails its check like any other', async (t) => {
  const { io, stdout } = createTestIo(workDirectory(t));
  assert.equal(await buildActions.checkBuildfile(io, '.'), 1);
  assert.match(stdout(), /^\[FAIL\] .*not a regular file/);
});

test('a tarball that a gateway would refuse is not printed as built', async (t) => {
  const root = workDirectory(t, { 'b.json': buildfile({}), 'install.sh': INSTALL_OK });
  const { io, stdout, stderr } = createTestIo(root);
  await assert.rejects(buildActions.buildApp(io, 'b.json'), /no x bit/);
  assert.equal(stdout(), '');
  assert.match(stderr(), /\[FAIL\] install\.sh has no x bit \(mode 0644\) - run chmod \+x/);
});

for (const [what, text, message] of [
  ['no JSON', '{"name": ', /no JSON/],
  ['a number as version', buildfile({ version: 1 }), /key 'version': found 1, expected a text, in quotes/],
  ['a bad name', buildfile({ name: 'my app' }), /key 'name': found "my app", expected letters/],
  ['no includes', '{"name": "a", "version": "1"}', /key 'includes': found nothing, expected it to be there/],
  [
    'a number among the includes',
    buildfile({ includes: ['a', 7] }),
    /key 'includes\[1\]': found 7, expected "path or glob"/,
  ],
  ['a text as includes', buildfile({ includes: 'a' }), /key 'includes': found "a", expected a list/],
  ['a list', '[]', /found a list, expected an object/],
] as const) {
  test(`a buildfile with ${what} fails its check, naming key, found and expected`, async (t) => {
    const root = workDirectory(t, { 'b.json': text });
    const { io, stdout } = createTestIo(root);
    assert.equal(await buildActions.checkBuildfile(io, 'b.json'), 1);
    assert.match(stdout(), /^\[FAIL\] /);
    assert.match(stdout(), message);
    await assert.rejects(buildActions.buildApp(io, 'b.json'), message);
  });
}

test('a created buildfile passes its check, and is not replaced', async (t) => {
  const root = workDirectory(t);
  const { io, stdout } = createTestIo(root, 'mine.json\nblinker\n\n');
  assert.equal(await buildActions.createBuildfile(io, {}), 0);
  assert.ok(stdout().includes(join(root, 'mine.json')));
  assert.deepEqual(JSON.parse(readFileSync(join(root, 'mine.json'), 'utf8')), {
    name: 'blinker',
    version: '1',
    includes: ['install.sh'],
    excludes: [],
    pre_build_cmds: [],
    post_build_cmds: [],
  });
  const check = createTestIo(root);
  assert.equal(await buildActions.checkBuildfile(check.io, 'mine.json'), 0);
  assert.equal(check.stdout(), '[PASS] buildfile mine.json\n');
  await assert.rejects(
    buildActions.createBuildfile(createTestIo(root).io, { file: 'mine.json' }),
    /it exists/,
  );
});

test('without answers, and with flags, a buildfile has the defaults of the original', async (t) => {
  const root = workDirectory(t);
  await buildActions.createBuildfile(createTestIo(root).io, {});
  assert.match(readFileSync(join(root, 'my_app.json'), 'utf8'), /"name": "my_app",\n {2}"version": "1"/);
  const { io, stderr } = createTestIo(root);
  await buildActions.createBuildfile(io, { file: 'f.json', version: '2' });
  assert.equal(stderr(), '', 'nothing is asked');
  assert.match(readFileSync(join(root, 'f.json'), 'utf8'), /"version": "2"/);
});

test('an answer that cannot be used is said at once and asked for again', async (t) => {
  const root = workDirectory(t, { 'taken.json': '' });
  const answers = 'taken.json\nfree.json\nno good\nblinker\n1 2\n1.2\n';
  const { io, stderr } = createTestIo(root, answers);
  assert.equal(await buildActions.createBuildfile(io, {}), 0);
  assert.match(readFileSync(join(root, 'free.json'), 'utf8'), /"name": "blinker",\n {2}"version": "1\.2"/);
  assert.match(
    stderr(),
    /^Name of the buildfile \[my_app\.json\]: gwe: 'taken\.json' exists, expected a new name\nName of the buildfile/,
  );
  assert.match(stderr(), /Name of the app \[my_app\]: gwe: key 'name': found "no good", expected letters/);
  assert.match(stderr(), /Version of the app \[1\]: gwe: key 'version': found "1 2", expected letters/);
});

test('Ctrl-C at a question ends it, and no buildfile is there', async (t) => {
  const root = workDirectory(t);
  const stop = new AbortController();
  const stdin = new PassThrough();
  const { io } = createTestIo(root, '', { stdin, signal: stop.signal });
  const asked = buildActions.createBuildfile(io, {});
  stdin.write('mine.json\n');
  setImmediate(() => stop.abort());
  await assert.rejects(asked, /interrupted: no buildfile was created/);
  assert.deepEqual(readdirSync(root), []);
});

test('a tarball check prints a line per check and fails with reason and remedy', async (t) => {
  const root = workDirectory(t);
  const check = async (name: string, bytes: Buffer): Promise<[number, string]> => {
    writeFileSync(join(root, name), bytes);
    const { io, stdout } = createTestIo(root);
    const status = await buildActions.checkTarball(io, name);
    return [status, stdout()];
  };
  const good = { 'install.sh': INSTALL_OK, 'supervisor.conf': '[supervisord]\ncommand=/bin/%(ENV_SHELL)s\n' };
  const [status, text] = await check('app.v1.tar.gz', makeTarball(good));
  assert.equal(status, 0, text);
  assert.equal(text.match(/^\[PASS\] /gm)?.length, 7);
  assert.doesNotMatch(text, /FAIL/);
  const cases = [
    ['app.tar.gz', makeTarball(good), /\[FAIL\] .*"app\.tar\.gz".* - rename it/],
    ['app.v2.tar.gz', makeTarball(good).subarray(0, 50), /\[FAIL\] .*cut off.* - pack or copy it again/],
    ['app.v3.tar.gz', makeTarball({ 'install.sh': 'x' }), /\[FAIL\] install\.sh does not start/],
    ['app.v4.tar.gz', makeTarball({ ...good, 'supervisor.conf': 'command = x\n' }), /\[FAIL\] .*supervisor/],
    ['app.v5.tar.gz', makeTarball({ ...good, 'supervisor.conf': '[supervisord]\n' }), /\[FAIL\] .*command/],
    [
      'app.v6.tar.gz',
      makeTarball({ ...good, 'supervisor.conf': '[supervisord]\ncommand=x\nstartsecs=soon\n' }),
      /\[FAIL\] line 3: startsecs is 'soon'/,
    ],
    ['app.v7.tar.gz', makeTarball({ ...good, l: { link: '../etc' } }), /\[FAIL\] .*'l'/],
  ] as const;
  for (const [name, bytes, message] of cases) {
    const [code, output] = await check(name, bytes);
    assert.match(output, message);
    assert.equal(code, 1);
  }
});

test('checking a file that is not there fails', async (t) => {
  const { io, stdout } = createTestIo(workDirectory(t));
  assert.equal(await buildActions.checkTarball(io, 'app.v1.tar.gz'), 1);
  assert.match(stdout(), /\[FAIL\] .*app\.v1\.tar\.gz/);
});

test('a command that names a file of the version without ./ is built, with a warning that says what to write', async (t) => {
  const root = workDirectory(t, {
    'app.json': buildfile({ includes: ['install.sh', 'main.py', 'supervisor.conf'] }),
    'install.sh': [INSTALL_OK, 0o755],
    'main.py': '',
    'supervisor.conf': '[supervisord]\ncommand = python3 main.py --config own.cfg\n',
  });
  const { io, stderr } = createTestIo(root);
  assert.equal(await buildActions.buildApp(io, 'app.json'), 0);
  assert.match(
    stderr(),
    /line 2: command names 'main\.py', a file of this version, without '\.\/'.*write '\.\/main\.py'/,
  );
  assert.doesNotMatch(stderr(), /own\.cfg/);
});

test('the check names the modules of the original that an app imports and does not bring', async (t) => {
  const root = workDirectory(t);
  const files = {
    'install.sh': INSTALL_OK,
    'th02.py': 'import sys\nfrom GatewayEngine import utils\n',
    read: '#!/usr/bin/env python\nimport exo.api\n',
    'notes.txt': 'import GatewayEngine\n',
  };
  writeFileSync(join(root, 'th02.v1.tar.gz'), makeTarball(files));
  const { io, stdout } = createTestIo(root);
  assert.equal(await buildActions.checkTarball(io, 'th02.v1.tar.gz'), 0);
  assert.match(stdout(), /^\[WARN\] th02\.py: imports the Python module 'GatewayEngine' of the original/m);
  assert.match(stdout(), /^\[WARN\] read: imports the Python module 'exo' of the original/m);
});
