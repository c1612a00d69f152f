/**
 * `make sandbox`: a platform, three gateways, each under a supervisord of its own, and a rollout that fails, to look at
 * in a browser and to play with in a shell in which every command finds them.
 */
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createStage, DemoFailure, GWE, requireParts, type Stage } from './stage.ts';

const PRODUCT = 'sandbox';
const SERIAL = 'GW-0001';
const OTHERS = ['GW-0002', 'GW-0003'];
const APP = 'lamp';
const PERSON = 'you';
/** Only ends what would wait for ever: a busy machine takes its time. */
const DEADLINE_MS = 120_000;

async function main(): Promise<number> {
  requireParts();
  const stage = createStage();
  // Ctrl-C is for what runs in the shell.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
  try {
    const password = await setUp(stage);
    const status = await runShell(stage, password);
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

/** Returns the password of the person who may sign in. */
async function setUp(stage: Stage): Promise<string> {
  stage.heading('A platform, and three gateways, each under supervisord');
  await stage.startPlatform();
  await addGateway(stage, SERIAL, stage.root);
  for (const serial of OTHERS) await addGateway(stage, serial, join(stage.home, serial));
  stage.env.GWE_ROOT = stage.root;
  stage.say(stage.supervisorctl('status').trimEnd().replace(/^/gm, '  '));
  stage.heading(`${APP} 1 for all of them`);
  await rollOut(stage, '1', ['exit 0', '100%', 'done']);
  stage.heading(
    `${APP} 2, which cannot be installed: the first wave is one gateway, and no other is touched`,
  );
  await rollOut(stage, '2', ['echo "cannot open /dev/ttyS9" >&2; exit 3', '1,100%', 'held']);
  const added = stage.gwe(['platform', 'operator', 'add', PERSON, '--role', 'admin'], { quiet: true });
  const password = /first login: (\S+)/.exec(added)?.[1];
  if (password === undefined) throw new DemoFailure(`expected a first password, found ${added}`);
  return password;
}

async function addGateway(stage: Stage, serial: string, root: string): Promise<void> {
  mkdirSync(root, { recursive: true });
  stage.gwe(['platform', 'device', 'add', PRODUCT, serial]);
  stage.env.GWE_ROOT = root;
  const settings = [
    'settle_time=1',
    'watch_window=0',
    `platform_url=${stage.platformUrl}`,
    'update_interval=2',
  ];
  stage.gwe(['config', 'set', `product=${PRODUCT}`, `uuid=${serial}`, ...settings]);
  await stage.startSupervisord(root);
}

/** Builds and uploads a version, rolls it out, and waits for what becomes of that. */
async function rollOut(
  stage: Stage,
  version: string,
  [installs, waves, end]: readonly [installs: string, waves: string, end: string],
): Promise<void> {
  const directory = join(stage.home, APP);
  mkdirSync(directory, { recursive: true });
  const executable = { mode: 0o755 };
  writeFileSync(join(directory, 'install.sh'), `#!/bin/sh\n${installs}\n`, executable);
  writeFileSync(join(directory, 'shine'), '#!/bin/sh\nexec sleep 100000\n', executable);
  writeFileSync(join(directory, 'supervisor.conf'), '[supervisord]\ncommand = ./shine\n');
  const includes = ['install.sh', 'shine', 'supervisor.conf'];
  const buildfile = { name: APP, version, includes, excludes: [], pre_build_cmds: [], post_build_cmds: [] };
  writeFileSync(join(directory, `${APP}.json`), JSON.stringify(buildfile));
  const tarball = stage.gwe(['--build-app', `${APP}.json`], { inside: APP }).trim();
  stage.gwe(['platform', 'content', 'put', PRODUCT, tarball]);
  const id = `${APP}.v${version}.tar.gz`;
  await stage.expect('three gateways that have been heard', DEADLINE_MS, () =>
    /"neverSeen": ?0\b/.test(stage.gwe(['fleet', 'status', PRODUCT, '--json'], { quiet: true }))
      ? true
      : undefined,
  );
  stage.gwe(['fleet', 'rollout', 'start', PRODUCT, id, '--waves', waves, '--soak', '0']);
  const isThere = new RegExp(`^(?=.* ${APP} ${version}\\b).* ${end}\\b`, 'm');
  await stage.expect(`the rollout of ${id} ${end}`, DEADLINE_MS, () =>
    isThere.test(stage.gwe(['fleet', 'rollout', 'list', PRODUCT], { quiet: true })) ? true : undefined,
  );
  stage.gwe(['fleet', 'rollout', 'list', PRODUCT]);
}

/** With gwe and a supervisorctl that knows this supervisord in front of its PATH. */
async function runShell(stage: Stage, password: string): Promise<number> {
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
  stage.say(`This shell has gwe and supervisorctl in its PATH; product ${PRODUCT}, serial numbers ${[SERIAL, ...OTHERS].join(', ')}. Try:
  gwe status
  gwe init hello && cd hello && gwe build
  gwe platform content put ${PRODUCT} hello.v1.tar.gz
  gwe platform write ${PRODUCT} ${SERIAL} engine_fetch \\
      '{"install": [{"name": "hello.v1.tar.gz"}]}' --wait
  gwe list
In a browser, ${stage.platformUrl}/#/${PRODUCT}/fleet shows the fleet, and what to do about ${APP} 2.
Sign in "With name and password": ${PERSON}, ${password}
This password is for one login: you choose another one then. 'cat $GWE_TOKEN_FILE' prints a token that signs in as well.
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
