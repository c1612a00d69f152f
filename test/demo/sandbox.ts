/** `make sandbox`: a platform, a supervisord and a gateway to play with, and a shell in which every command finds them. */
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createStage, DemoFailure, GWE, requireParts, type Stage } from './stage.ts';

const PRODUCT = 'sandbox';
const SERIAL = 'GW-0001';

async function main(): Promise<number> {
  requireParts();
  const stage = createStage();
  // Ctrl-C is for what runs in the shell.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
  try {
    await setUp(stage);
    const status = await runShell(stage);
    stage.heading('Cleaning up: nothing is left');
    return status;
  } catch (error) {
    if (!(error instanceof DemoFailure)) throw error;
    stage.say(`\nFAILED: ${error.message}`);
    return 1;
  } finally {
    await stage.close();
  }
}

async function setUp(stage: Stage): Promise<void> {
  stage.heading('A platform, a device on it, and a gateway under supervisord');
  await stage.startPlatform();
  stage.gwe(['platform', 'device', 'add', PRODUCT, SERIAL]);
  stage.env.GWE_ROOT = stage.root;
  const settings = ['settle_time=1', `platform_url=${stage.platformUrl}`, 'update_interval=2'];
  stage.gwe(['config', 'set', `product=${PRODUCT}`, `uuid=${SERIAL}`, ...settings]);
  await stage.startSupervisord();
  stage.say(stage.supervisorctl('status').trimEnd().replace(/^/gm, '  '));
}

/** With gwe and a supervisorctl that knows this supervisord in front of its PATH. */
async function runShell(stage: Stage): Promise<number> {
  const bin = join(stage.home, 'bin');
  mkdirSync(bin);
  symlinkSync(GWE, join(bin, 'gwe'));
  const control = join(bin, 'supervisorctl');
  const config = join(stage.root, 'etc/supervisor/supervisord.conf');
  const path = stage.env.PATH ?? '';
  writeFileSync(control, `#!/bin/sh\nPATH='${path}'\nexec supervisorctl -c '${config}' "$@"\n`);
  chmodSync(control, 0o755);
  const prompts = join(stage.home, '.bashrc');
  writeFileSync(prompts, `PS1='gwe sandbox \\$ '\nsource <(gwe completion bash)\n`);
  stage.heading('Yours');
  stage.say(`This shell has gwe and supervisorctl in its PATH; product ${PRODUCT}, serial ${SERIAL}. Try:
  gwe status
  gwe init hello && cd hello && gwe build
  gwe platform content put ${PRODUCT} hello.v1.tar.gz
  gwe platform write ${PRODUCT} ${SERIAL} engine_fetch \\
      '{"install": [{"name": "hello.v1.tar.gz"}]}' --wait
  gwe list
In a browser, ${stage.platformUrl}/#/${PRODUCT}/fleet shows the same; sign in with what 'cat $GWE_TOKEN_FILE' prints.
Leave with 'exit' or Ctrl-D: everything is stopped and removed then.
`);
  const token = join(stage.home, 'platform/admin-token');
  const env = { ...process.env, ...stage.env, PATH: `${bin}:${path}`, GWE_TOKEN_FILE: token };
  const shell = spawn('bash', process.stdin.isTTY ? ['--rcfile', prompts, '-i'] : ['-s'], {
    cwd: stage.workshop,
    env,
    stdio: 'inherit',
  });
  return new Promise((resolve) => shell.once('close', (status) => resolve(status ?? 1)));
}

process.exitCode = await main();
