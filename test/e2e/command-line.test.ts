/** Each row of the original's command line (one-platform.md §4.10), as a person types it at the executable. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { acquireLock } from '../../src/base/lock.ts';
import { type CommandLine, createCommandLine } from '../helpers/command-line.ts';
import { type CommandResult, createGateway, EXECUTABLE } from '../helpers/gateway.ts';
import { startPlatform } from '../helpers/platform.ts';
import { INSTALL_OK, makeTarball } from '../helpers/tarball.ts';

const KEY = '3803226073f6f2feb51a9010bd1d3e53143214a7';

function commandLine(t: TestContext): CommandLine {
  const line = createCommandLine([EXECUTABLE]);
  t.after(() => line.remove());
  return line;
}

const read = (line: CommandLine, name: string): string =>
  readFileSync(join(line.root, 'etc/gwe', name), 'utf8');

function assertUsage(line: CommandLine, args: readonly string[], message: RegExp): void {
  const before = snapshot(line);
  const { status, stdout, stderr } = line.gwe(...args);
  assert.equal(status, 2, `${args.join(' ')}: ${stdout}${stderr}`);
  assert.match(stderr, message);
  assert.equal(stdout, '', 'nothing on stdout');
  assert.deepEqual(snapshot(line), before, 'nothing was changed');
}

function snapshot(line: CommandLine): string[] {
  return readdirSync(line.root, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((path) => {
      const full = join(line.root, path);
      return statSync(full).isFile() ? `${path}: ${readFileSync(full, 'latin1')}` : path;
    });
}

test('-h and --help show the first page, and `gwe help options` every option with its default', (t) => {
  const line = commandLine(t);
  const { status, stdout } = line.gwe('-h');
  assert.equal(status, 0);
  assert.equal(line.gwe('--help').stdout, stdout);
  assert.match(stdout, /^usage: gwe COMMAND/);
  const options = line.gwe('help', 'options').stdout;
  for (const heading of ['Running:', 'Installing:', 'Building apps:'])
    assert.ok(options.includes(`\n${heading}\n`), heading);
  assert.match(options, /--set-update-interval SECONDS\n[^[]*\[default: 14400\]/);
  for (const hidden of ['--product-id', '--check-tarfile'])
    assert.ok(!options.includes(` ${hidden} `), hidden);
});

test('in a working directory that was removed every command runs that names no relative path', (t) => {
  const line = commandLine(t);
  const inRemoved = (command: string) => {
    const gone = join(line.root, 'gone');
    const script = `mkdir "$1" && cd "$1" && rmdir "$1" && shift && ${command}`;
    const args = ['-c', script, 'sh', gone, EXECUTABLE];
    return spawnSync('/bin/sh', args, { env: line.env, encoding: 'utf8', timeout: 60_000 });
  };
  assert.match(inRemoved('"$1" --version').stdout, /^\d+\.\d+\.\d+/);
  const tarball = line.file('one.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
  const installed = inRemoved(`"$1" -I ${tarball}`);
  assert.equal(installed.status, 0, installed.stderr);
  assert.equal(inRemoved('"$1" list --json').status, 0);
  const relative = inRemoved('"$1" -I one.v1.tar.gz');
  assert.equal(relative.status, 2, relative.stdout);
  assert.match(relative.stderr, /'one\.v1\.tar\.gz'.*working directory/);
});

test('a terminal of 0 to 20 columns gets the same words, and gwe ends', (t) => {
  const line = commandLine(t);
  for (const columns of [0, 1, 2, 3, 19, 20]) {
    for (const args of ['nonsense --of=many words', 'status', 'doctor', 'list']) {
      const words = `stty cols ${columns} rows 24; exec ${EXECUTABLE} ${args}`;
      const options = { cwd: line.cwd, env: line.env, encoding: 'utf8', timeout: 90_000 } as const;
      const { signal, stdout } = spawnSync('/usr/bin/script', ['-qec', words, '/dev/null'], options);
      assert.equal(signal, null, `${args} on ${columns} columns`);
      assert.ok(stdout.length > 0 && stdout.length < 20_000, `${args} on ${columns} columns`);
    }
  }
});

test('-v prints the version alone, -p the directory of apps', (t) => {
  const line = commandLine(t);
  assert.match(line.gwe('-v').stdout, /^\d+\.\d+\.\d+\S*\n$/);
  assert.equal(line.gwe('--path').stdout, `${join(line.root, 'opt/gwe/apps')}\n`);
});

test('the set options write the files, echo them, and combine', (t) => {
  const line = commandLine(t);
  const first = line.gwe('-P', 'acme', '-u', 'anyserial!@#$%^&*()number', '-t', '300', '-l', '30');
  assert.equal(first.status, 0, first.stderr);
  assert.equal(first.stdout, read(line, 'Gateway.cfg') + withNewline(read(line, 'Engine.config')));
  assert.equal(
    read(line, 'Gateway.cfg'),
    "[device]\ncik = ''\nmodel = acme\nvendor = acme\nuuid = anyserial!@#$%^&*()number\niface = ''\n\n",
  );
  assert.match(read(line, 'Engine.config'), /^update_interval = 300$/m);
  assert.match(read(line, 'Engine.config'), /^act_retry_interval = 30$/m);
  line.gwe('--set-model', 'm2', '--set-vendor', 'v2', '-c', KEY, '-a', 'Custom/1', '-d', 'debug');
  assert.match(read(line, 'Gateway.cfg'), new RegExp(`^cik = ${KEY}\nmodel = m2\nvendor = v2$`, 'm'));
  assert.match(read(line, 'Engine.config'), /^user_agent = Custom\/1$/m);
  assert.match(read(line, 'Engine.config'), /^debug_level = DEBUG$/m);
  assert.equal(line.gwe('-u', "''", '-a', "''").status, 0);
  assert.match(read(line, 'Gateway.cfg'), /^uuid = ''$/m);
  assert.match(read(line, 'Engine.config'), /^user_agent = ''$/m);
});

function withNewline(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}

test('-e, -g and -C show the files and the key', (t) => {
  const line = commandLine(t);
  assert.equal(line.gwe('-C').stdout, "''\n");
  line.gwe('-c', KEY);
  assert.equal(line.gwe('-C').stdout, `${KEY}\n`);
  assert.equal(line.gwe('-g').stdout, read(line, 'Gateway.cfg'));
  assert.equal(line.gwe('--engine-conf').stdout, withNewline(read(line, 'Engine.config')));
  assert.equal(
    line.gwe('-geC').stdout,
    line.gwe('-g').stdout + line.gwe('-e').stdout + line.gwe('-C').stdout,
  );
});

test('--set-iface takes an interface that is not there with a warning; --mac-address shows one', (t) => {
  const line = commandLine(t);
  mkdirSync(join(line.root, 'sys/class/net/eth0'), { recursive: true });
  writeFileSync(join(line.root, 'sys/class/net/eth0/address'), 'ff:10:c2:9b:a8:46\n');
  assert.equal(line.gwe('--mac-address', 'eth0').stdout, 'FF:10:C2:9B:A8:46\n');
  assert.equal(line.gwe('--mac-address', 'nope9').status, 1);
  const found = line.gwe('-d', 'DEBUG', '-i', 'eth0');
  assert.match(found.stdout, /Found interface 'eth0' with MAC address \(serial\/uuid\): FF:10:C2:9B:A8:46\n/);
  assert.match(read(line, 'Gateway.cfg'), /^uuid = ''$/m, 'the MAC is stored at the first start, not now');
  const missing = line.gwe('-i', 'nope9');
  assert.equal(missing.status, 0);
  assert.match(
    missing.stderr,
    /warning: interface 'nope9' gives no serial number: there is no such interface/,
  );
  assert.match(read(line, 'Gateway.cfg'), /^iface = nope9$/m);
});

test('apps of another user get the key by the group that cik_group names, and nobody else does', (t) => {
  const line = commandLine(t);
  chmodSync(line.root, 0o755);
  const asGroup = (gid: number): CommandResult => {
    const options = { env: line.env, uid: 65_534, gid, cwd: '/', encoding: 'utf8' } as const;
    return spawnSync(EXECUTABLE, ['-C'], options);
  };
  const [name = '', , gid = ''] =
    readFileSync('/etc/group', 'utf8')
      .split('\n')
      .map((each) => each.split(':'))
      .find((fields) => Number(fields[2]) > 0) ?? [];
  line.gwe('-c', KEY);
  const shut = asGroup(Number(gid));
  assert.match(shut.stderr, /only its owner may read it; 'gwe --set cik_group=GROUP' lets a group do so/);
  assert.equal(shut.status, 1);
  line.gwe('--set', `cik_group=${name}`);
  assert.equal(asGroup(Number(gid)).stdout, `${KEY}\n`);
  assert.equal(asGroup(65_534).status, 1);
  line.gwe('-u', 'another');
  line.gwe('-c', KEY);
  assert.equal(asGroup(Number(gid)).stdout, `${KEY}\n`, 'a file that is rewritten keeps its group');
  const unknown = line.gwe('--set', 'cik_group=nobody-knows');
  assert.match(unknown.stderr, /cik_group: found 'nobody-knows', expected a group of \/etc\/group/);
  assert.equal(asGroup(Number(gid)).status, 1);
});

test('-d beside an action is the level of that run alone, and needs no right to write the configuration', (t) => {
  const line = commandLine(t);
  line.file('install.sh', INSTALL_OK, 0o755);
  line.gwe('-x', '-n', 'one', '-s', '2', '--file', 'b.json');
  const path = join(line.cwd, 'one.v2.tar.gz');
  const before = read(line, 'Engine.config');
  assert.equal(line.gwe('-d', 'DEBUG', '--build-app', 'b.json').stdout, `${path}\n`);
  assert.match(line.gwe('-d', 'DEBUG', '-I', path).stderr, / INFO {2}update\.verified .*app=one/);
  assert.match(line.gwe('-d', 'DEBUG', '-p').stdout, /^\/.*apps\n$/);
  assert.match(line.gwe('-o', '-d', 'ERROR', '-P', 'p', '-u', 's').stderr, /^(?!.* INFO )/s);
  assert.equal(read(line, 'Engine.config'), before);
  assertUsage(line, ['-d', 'LOUD', '-p'], /expected one of DEBUG, INFO/);
});

test('-o checks in once and ends', async (t) => {
  const platform = await startPlatform();
  const gateway = await createGateway(platform, { command: [EXECUTABLE] });
  t.after(async () => {
    await gateway.remove();
    await platform.close();
  });
  const ended = await new Promise((resolve) => {
    execFile(EXECUTABLE, ['--once'], { env: { ...process.env, GWE_ROOT: gateway.root } }, resolve);
  });
  assert.equal(ended, null);
  assert.match((await platform.read('p1', 'gw-1', 'engine_report')) ?? '', /"gwe"/);
});

test('the building options work by short and long name, and stdout of a build is the path alone', (t) => {
  const line = commandLine(t);
  line.file('install.sh', INSTALL_OK, 0o755);
  assert.equal(
    line.gwe('--create-buildfile', '--app-name', 'one', '--app-version', '2', '--file', 'b.json').status,
    0,
  );
  assert.match(line.gwe('-w', 'b.json').stdout, /^\[PASS\]/);
  assert.equal(line.gwe('--check-buildfile', 'b.json').status, 0);
  const path = join(line.cwd, 'one.v2.tar.gz');
  assert.equal(line.gwe('--build-app', 'b.json').stdout, `${path}\n`);
  for (const option of ['-z', '--check-tarball', '--check-tarfile']) {
    const { status, stdout } = line.gwe(option, path);
    assert.equal(status, 0, stdout);
    assert.match(stdout, /^(\[PASS\] .*\n)+$/);
  }
  assert.equal(line.gwe('-y', '-n', 'two', '-s', '1').stdout, `${join(line.cwd, 'two.v1.tar.gz')}\n`);
  assert.equal(line.gwe('--check-buildfile', 'none.json').status, 1);
});

test('--check-tarball names the line of supervisor.conf that would not do what was meant, and the remedy', (t) => {
  const line = commandLine(t);
  const conf = '[program:x]\ncommand=/bin/true\nenvironment=A="1"\nenvironment=B="2"\n';
  line.file('a.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK, 'supervisor.conf': conf }));
  const { status, stdout } = line.gwe('-z', 'a.v1.tar.gz');
  assert.equal(status, 0, stdout);
  assert.match(stdout, /\[WARN\] .*line 4/);
  assert.match(stdout, /\[WARN\] .*\[supervisord\]/);
});

test('-I installs', (t) => {
  const line = commandLine(t);
  line.file('a.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
  assert.equal(line.gwe('-I', 'a.v1.tar.gz').stdout, 'a 1: installed\n');
  assert.equal(line.gwe('--install-apps', 'a.v1.tar.gz').stdout, 'a 1: installed\n');
});

test('--download-latest follows latest.lnk of an area', async (t) => {
  const line = commandLine(t);
  const pages: Readonly<Record<string, string>> = {
    '/rel/gmq-master/latest.lnk': '../files/gwe-1-2.tar.gz\n',
    '/rel/files/gwe-1-2.tar.gz': 'the package',
    '/rel/odd/latest.lnk': 'two words\n',
    '/rel/blank/latest.lnk': '\n',
    '/rel/broken/latest.lnk': 'gwe%zz.tar.gz\n',
  };
  const server = createServer((request, response) => {
    const page = pages[request.url ?? ''];
    response.writeHead(page === undefined ? 404 : 200);
    response.end(page);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  t.after(() => server.close());
  const unset = line.gwe('--download-latest', 'gmq-master');
  assert.equal(unset.status, 1);
  assert.match(unset.stderr, /release_url is '', expected a URL; set it with 'gwe --set release_url=/);
  const { port } = server.address() as AddressInfo;
  line.gwe('--set', `release_url=http://127.0.0.1:${port}/rel/`);
  const done = await line.start('--download-latest', 'gmq-master');
  assert.equal(done.stdout, `${join(line.cwd, 'gwe-1-2.tar.gz')}\n`, done.stderr);
  assert.equal(readFileSync(join(line.cwd, 'gwe-1-2.tar.gz'), 'utf8'), 'the package');
  assert.match((await line.start('--download-latest', 'none')).stderr, /none\/latest\.lnk': status 404/);
  assert.match((await line.start('--download-latest', 'odd')).stderr, /expected one line with a URL/);
  assert.match(
    (await line.start('--download-latest', 'blank')).stderr,
    /holds "", expected one line with a URL/,
  );
  assert.match(
    (await line.start('--download-latest', 'broken')).stderr,
    /called "gwe%zz.*expected a file name/,
  );
  assert.equal((await line.start('--download-latest', '../up')).status, 2);
  assert.deepEqual(readdirSync(line.cwd), ['gwe-1-2.tar.gz'], 'nothing half is left');
});

test('prefixes and hidden aliases of long options are accepted', (t) => {
  const line = commandLine(t);
  assert.equal(line.gwe('--product-id', 'acme').status, 0);
  assert.equal(line.gwe('--set-upd', '77').status, 0);
  assert.match(read(line, 'Gateway.cfg'), /^vendor = acme$/m);
  assert.match(read(line, 'Engine.config'), /^update_interval = 77$/m);
});

test('whatever is wrong with a command line is status 2, says what was meant, and changes nothing', (t) => {
  const line = commandLine(t);
  assertUsage(line, ['--set-intervall', '5'], /did you mean --set-update-interval\?/);
  assertUsage(line, ['-P', 'good', '--no-such-thing'], /unknown option --no-such-thing/);
  assertUsage(line, ['-P', 'good', '-t', '0'], /found '0', expected a whole number from 1 to 31536000/);
  assertUsage(line, ['-P', 'good', '-t', 'soon'], /nothing was changed/);
  assertUsage(line, ['-P', 'good', '-c', 'short'], /found 5 characters, expected a key of 40/);
  assertUsage(line, ['-P', 'good', '-d', 'LOUD'], /expected one of DEBUG, INFO/);
  assertUsage(line, ['-P', 'one', '-m', 'two'], /contradict each other/);
  assertUsage(line, ['-t', '5', '--set', 'update_interval=6'], /contradict each other/);
  assertUsage(line, ['-u', 'a\nb'], /control character/);
  assertUsage(line, ['-P', 'good', '-a', 'one ; two'], /would not read back as written.*nothing was changed/);
  assertUsage(line, ['--set', 'update_intervall=5'], /did you mean update_interval\?/);
  assertUsage(line, ['--set-platform-url', 'ftp://x'], /expected https:\/\/HOST/);
  assertUsage(line, ['--set-ca-file', '/no/such.pem'], /expected a file that exists/);
  assertUsage(line, ['--build-app', 'b.json', '--check-tarball', 'x'], /do not go together/);
  assertUsage(line, ['-I', 'a.tar.gz', '--once'], /do not go together/);
  assertUsage(
    line,
    ['--build-app', 'b.json', '-P', 'x'],
    /--build-app and --set-product-id do not go together/,
  );
  assertUsage(line, ['-n', 'name'], /--app-name goes only with --create-buildfile or --build-app-tarball/);
  assertUsage(line, ['-g', '--json'], /--json goes only with --install-apps/);
  assertUsage(line, ['-t'], /--set-update-interval needs a value/);
  assertUsage(line, ['-I'], /--install-apps needs a value/);
  assertUsage(line, ['-g', 'word'], /unexpected argument 'word'/);
  assertUsage(line, ['lsit'], /did you mean 'gwe list'\?/);
  assertUsage(line, ['list', 'word'], /unexpected argument 'word'; usage: gwe list/);
  assertUsage(line, ['rollback'], /missing APP; usage: gwe rollback APP/);
  assertUsage(line, ['list', '--jsno'], /did you mean --json\?/);
});

test('without product or serial number the agent ends with 255, beside another one with 3', (t) => {
  const line = commandLine(t);
  assert.equal(line.gwe('-o').status, 255);
  assert.match(line.gwe('-P', 'x', '-o').stderr, /neither uuid nor iface/);
  const lock = acquireLock(join(line.root, 'run/gwe/agent.lock'), 'agent');
  assert.ok('release' in lock);
  const second = line.gwe('-u', 's1', '-o');
  assert.equal(second.status, 3);
  assert.match(second.stderr, new RegExp(`another gwe \\(process ${process.pid}\\) runs`));
});
