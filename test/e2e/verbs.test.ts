/** The verbs beside the original's flags: each leads to the same end. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type CommandLine, createCommandLine, drawnLines } from '../helpers/command-line.ts';
import { EXECUTABLE } from '../helpers/gateway.ts';
import { startSupervisord } from '../helpers/supervisord.ts';
import { INSTALL_OK } from '../helpers/tarball.ts';

function commandLine(t: TestContext): CommandLine {
  const line = createCommandLine([EXECUTABLE]);
  t.after(() => line.remove());
  return line;
}

const read = (line: CommandLine, name: string): string =>
  readFileSync(join(line.root, 'etc/gwe', name), 'utf8');

test('an app of init builds, passes its check and runs as it stands', async (t) => {
  const line = commandLine(t);
  const supervisord = await startSupervisord(line.root);
  t.after(() => supervisord.stop());
  const made = line.onTerminal(['init', 'blinker']);
  assert.equal(made.status, 0, made.stdout);
  for (const each of drawnLines(made.stdout)) assert.ok(each.length <= 80, each);
  const directory = join(line.cwd, 'blinker');
  assert.deepEqual(readdirSync(directory).sort(), [
    'README.md',
    'buildfile.json',
    'health.sh',
    'install.sh',
    'run.sh',
    'supervisor.conf',
  ]);
  const path = join(directory, 'blinker.v1.tar.gz');
  const built = gweIn(directory, line, 'build');
  assert.equal(built.stdout, `${path}\n`, built.stderr);
  assert.equal(built.stderr, '', 'no warning about what gwe itself has made');
  assert.doesNotMatch(line.gwe('--check-tarball', path).stdout, /FAIL|WARN/);
  const installed = line.gwe('install', path);
  assert.equal(installed.status, 0, installed.stderr);
  assert.match(line.gwe('list').stdout, /^blinker +1 +RUNNING/m);
  assert.match(line.gwe('logs', 'blinker').stdout, /^running in .*\/var\/opt\/gwe\/blinker$/m);
  const again = line.gwe('init', 'blinker');
  assert.equal(again.status, 2);
  assert.match(again.stderr, /it exists, expected a new name/);
  assert.match(line.gwe('init', '../x').stderr, /cannot create an app of that name: key 'name'/);
});

/** The same gwe in another directory. */
function gweIn(cwd: string, line: CommandLine, ...args: string[]): { stdout: string; stderr: string } {
  return spawnSync(EXECUTABLE, args, { cwd, env: line.env, encoding: 'utf8' });
}

test('build takes the file that is named, the usual one, or the only one, and --build-app makes the same bytes', (t) => {
  const line = commandLine(t);
  line.file('install.sh', INSTALL_OK, 0o755);
  assert.match(
    line.gwe('build').stderr,
    /no buildfile here, expected buildfile\.json .*'gwe init NAME' makes/,
  );
  const buildfile = (version: string): string =>
    JSON.stringify({ name: 'a', version, includes: ['install.sh'] });
  line.file('package.json', '{"name":"other"}');
  line.file('one.json', buildfile('1'));
  const path = join(line.cwd, 'a.v1.tar.gz');
  assert.equal(line.gwe('build').stdout, `${path}\n`);
  const bytes = readFileSync(path);
  assert.equal(line.gwe('--build-app', 'one.json').stdout, `${path}\n`);
  assert.ok(readFileSync(path).equals(bytes));
  line.file('two.json', buildfile('2'));
  const { status, stderr } = line.gwe('build');
  assert.equal(status, 2);
  assert.match(stderr, /2 buildfiles here: one\.json, two\.json.*say which: 'gwe build FILE'/);
  assert.match(line.gwe('build', 'two.json').stdout, /a\.v2\.tar\.gz\n$/);
  line.file('buildfile.json', buildfile('3'));
  assert.match(line.gwe('build').stdout, /a\.v3\.tar\.gz\n$/);
});

test('config writes the files that the options of the original write', (t) => {
  const [line, other] = [commandLine(t), commandLine(t)];
  const { status, stdout, stderr } = line.gwe(
    'config',
    'set',
    'product=acme',
    'uuid=s 1',
    'update_interval=60',
  );
  assert.equal(status, 0, stderr);
  assert.equal(stdout, 'vendor = acme\nmodel = acme\nuuid = s 1\nupdate_interval = 60\n');
  other.gwe('-P', 'acme', '-u', 's 1', '-t', '60');
  for (const file of ['Gateway.cfg', 'Engine.config']) assert.equal(read(line, file), read(other, file));
  assert.equal(line.gwe('config', 'get', 'update_interval').stdout, '60\n');
  assert.equal(line.gwe('config', 'set', 'settle_time', '7').stdout, 'settle_time = 7\n');
  assert.deepEqual(line.json('config', 'get', 'vendor', '--json'), {
    version: 1,
    key: 'vendor',
    value: 'acme',
    isDefault: false,
  });
  line.gwe('config', 'unset', 'update_interval', 'uuid');
  assert.equal(line.gwe('config', 'get', 'update_interval').stdout, '14400\n');
  assert.equal(line.gwe('config', 'get', 'uuid').stdout, '\n');
  const list = line.onTerminal(['config', 'list']).stdout;
  for (const each of drawnLines(list)) assert.ok(each.length <= 80, each);
  assert.match(list, /^vendor +set +acme\r?$/m);
  assert.match(
    line.gwe('config', 'list').stdout,
    /^settle_time +set +7\n[\s\S]*^set_clock +default +auto\n/m,
  );
});

test('what config cannot do is refused whole, with the way on', (t) => {
  const line = commandLine(t);
  const before = read(line, 'Engine.config');
  const refused: readonly [args: string[], message: RegExp][] = [
    [['set', 'update_intervall=5'], /did you mean 'update_interval'\?/],
    [['set', 'settle_time=2', 'update_interval=often'], /expected a whole number/],
    [['set', 'settle_time'], /expected settle_time=VALUE/],
    [['set', 'cik=1'], /shown by 'gwe --gateway-cik' and set by 'gwe --set-cik'/],
    [['set', 'platform_url=ftp://x'], /expected https:\/\/HOST/],
    [['get', 'nothing'], /see 'gwe help settings'/],
  ];
  for (const [args, message] of refused) {
    const { status, stderr, stdout } = line.gwe('config', ...args);
    assert.equal(status, 2, args.join(' '));
    assert.match(stderr, message);
    assert.equal(stdout, '');
  }
  assert.equal(read(line, 'Engine.config'), before);
  assert.ok(!existsSync(join(line.root, 'etc/gwe/Gateway.cfg')));
});

test('where the output cannot be written it says why', (t) => {
  const line = commandLine(t);
  const { status, stderr } = spawnSync('sh', ['-c', `exec "$0" list >/dev/full`, EXECUTABLE], {
    env: line.env,
    encoding: 'utf8',
  });
  assert.equal(status, 1);
  assert.match(stderr, /^gwe: cannot write to standard output: .*no space left on device/);
});

test('Ctrl-C at a question of --create-buildfile ends it at once, and nothing is written', async (t) => {
  const line = commandLine(t);
  const child = spawn(EXECUTABLE, ['-x'], {
    cwd: line.cwd,
    env: line.env,
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  let told = '';
  const status = await new Promise((resolve) => {
    child.stderr.on('data', (chunk: Buffer) => {
      told += chunk.toString();
      if (told.endsWith('[my_app.json]: ')) child.kill('SIGINT');
    });
    child.once('close', resolve);
  });
  assert.equal(status, 130);
  assert.match(told, /interrupted: no buildfile was created\n$/);
  assert.deepEqual(readdirSync(line.cwd), []);
});
