/** Each executable that ships, on its own kind of CPU: this machine's as it is, a foreign one under qemu-user. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { LAUNCHER } from '../../src/service/launcher.ts';
import { createGateway } from '../helpers/gateway.ts';
import { startPlatform } from '../helpers/platform.ts';
import { makeTarball } from '../helpers/tarball.ts';

const ROOT = join(import.meta.dirname, '../..');
const { version }: { version: string } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

const EMULATORS: Readonly<Record<string, { arch: string; command: readonly string[] }>> = {
  'linux-x64': { arch: 'x64', command: ['qemu-x86_64-static', '-L', '/usr/x86_64-linux-gnu'] },
  'linux-arm64': { arch: 'arm64', command: ['qemu-aarch64-static', '-L', '/usr/aarch64-linux-gnu'] },
  'linux-armv7l': { arch: 'arm', command: ['qemu-arm-static', '-L', '/usr/arm-linux-gnueabihf'] },
};

/** Emulated starts take seconds, and a job is some of them. */
const JOB_DEADLINE_MS = 120_000;

const platform = await startPlatform();
after(() => platform.close());

/** A one-off: install.sh does all its work, and no supervisord is needed. */
function oneOff(words: string): Buffer {
  return makeTarball({
    'install.sh': `#!/bin/sh\nset -eu\n. ./words\necho "$GWE_APP_NAME $GWE_APP_VERSION $WORDS" > "$GWE_APP_DIR/done"\n`,
    words: `WORDS=${words}\n`,
  });
}

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-target-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A file that leaves a trace when the runtime loads it. */
function preload(directory: string): { path: string; hasRun(): boolean } {
  const [path, trace] = [join(directory, 'preload.cjs'), join(directory, 'trace')];
  writeFileSync(path, `require('node:fs').writeFileSync(${JSON.stringify(trace)}, '')`);
  return { path, hasRun: () => existsSync(trace) };
}

/** A root with the launcher, and behind it a script that starts `argv`: the kernel here runs no foreign executable. */
function launcherOf(directory: string, argv: readonly string[]): string {
  const versions = join(directory, 'opt/gwe/apps/gwe');
  mkdirSync(join(versions, 'one'), { recursive: true });
  mkdirSync(join(directory, 'usr/local/bin'), { recursive: true });
  const words = argv.map((word) => `'${word}'`).join(' ');
  writeFileSync(join(versions, 'one/gwe'), `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 });
  symlinkSync('one', join(versions, 'current'));
  const path = join(directory, 'usr/local/bin/gwe');
  writeFileSync(path, LAUNCHER, { mode: 0o755 });
  return path;
}

for (const [target, { arch, command }] of Object.entries(EMULATORS)) {
  const executable = join(ROOT, 'dist', `gwe-${target}`);
  const isForeign = arch !== process.arch;
  const argv = isForeign ? [...command, executable] : [executable];

  test(`gwe-${target} starts and says its version`, () => {
    const [program = '', ...args] = argv;
    // A variable such as SSL_CERT_FILE has gwe start itself once more without it: the kernel does not do that for qemu.
    const env = { PATH: process.env.PATH ?? '' };
    assert.match(
      execFileSync(program, [...args, '--version'], { env, encoding: 'utf8' }),
      new RegExp(version),
    );
  });

  test(`gwe-${target}, started by the launcher, obeys no variable of the runtime`, (t) => {
    const directory = scratch(t);
    const { path, hasRun } = preload(directory);
    const env = {
      PATH: process.env.PATH ?? '',
      NODE_OPTIONS: `--require ${path}`,
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
      NODE_EXTRA_CA_CERTS: join(directory, 'none'),
      NODE_DEBUG: 'http,net,fs',
      SSL_CERT_FILE: join(directory, 'none'),
    };
    const { status, stdout, stderr } = spawnSync(launcherOf(directory, argv), ['--version'], {
      env,
      encoding: 'utf8',
    });
    assert.deepEqual([status, stdout.trim()], [0, version], stderr);
    assert.doesNotMatch(stderr, /extra certs|^(HTTP|NET|FS) \d+:/m);
    assert.ok(!hasRun());
  });

  test(`gwe-${target} activates, fetches an app, installs it and reports`, async () => {
    const gateway = await createGateway(platform, { command: argv, serial: `gw-${target}` });
    try {
      const { stdout } = gateway.gwe('-e');
      assert.match(stdout, /platform_url/, 'the configuration is not there');
      await platform.putContent(gateway.product, `once-${target}.v1.tar.gz`, oneOff(target));
      gateway.start();
      const report = await gateway.command(
        platform,
        JSON.stringify({ install: [{ name: `once-${target}.v1.tar.gz` }] }),
        JOB_DEADLINE_MS,
      );
      const app = gateway.active(`once-${target}`);
      assert.ok(app, `nothing was installed: ${JSON.stringify(report)}\n${gateway.log()}`);
      const done = join(gateway.root, 'opt/gwe/apps', `once-${target}`, app, 'done');
      assert.ok(existsSync(done), `install.sh did not run: ${JSON.stringify(report)}`);
      assert.equal(readFileSync(done, 'utf8'), `once-${target} 1 ${target}\n`);
      assert.doesNotMatch(gateway.log(), /^\s+at .*\(/m, 'a stack trace in the log');
    } finally {
      await gateway.remove();
    }
  });
}

test('gwe-linux-armv7l refuses what its runtime has read already, before it does anything', (t) => {
  const directory = scratch(t);
  const [program = '', ...args] = EMULATORS['linux-armv7l']?.command ?? [];
  const root = join(directory, 'root');
  const run = [...args, join(ROOT, 'dist/gwe-linux-armv7l'), '--root', root, '--set-uuid', '1'];
  for (const [name, value] of Object.entries({
    NODE_OPTIONS: '--max-old-space-size=64',
    NODE_EXTRA_CA_CERTS: join(directory, 'none'),
  })) {
    const env = { PATH: process.env.PATH ?? '', [name]: value };
    const { status, stdout, stderr } = spawnSync(program, run, { env, encoding: 'utf8' });
    assert.deepEqual([status, stdout], [2, ''], stderr);
    assert.match(stderr, new RegExp(`cannot start while ${name} is set: unset it`));
    assert.ok(!existsSync(root));
  }
});

test('gwe-linux-armv7l goes on without variables that do nothing once they have gone', (t) => {
  const root = join(scratch(t), 'root');
  const [program = '', ...args] = EMULATORS['linux-armv7l']?.command ?? [];
  const run = [...args, join(ROOT, 'dist/gwe-linux-armv7l'), '--root', root, '--set-uuid', '1'];
  const env = { PATH: process.env.PATH ?? '', NODE_TLS_REJECT_UNAUTHORIZED: '0', SSL_CERT_FILE: '/none' };
  const { status, stderr } = spawnSync(program, run, { env, encoding: 'utf8' });
  assert.deepEqual([status, stderr], [0, '']);
  assert.ok(existsSync(root));
});
