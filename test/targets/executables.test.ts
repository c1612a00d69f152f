/** Each executable that ships, on its own kind of CPU: this machine's as it is, a foreign one under qemu-user. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
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
