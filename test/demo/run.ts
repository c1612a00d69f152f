/**
 * `make demo`: an update from upload to rollback on real parts, and every step checked. With FLEET=1 the platform is two,
 * on PostgreSQL and Swift, and one of them is killed on the way.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createStage, DemoFailure, requireParts, type Stage } from './stage.ts';

const PRODUCT = 'demo-product';
const SERIAL = 'GW-0001';
const APP = 'hello';
const IS_FLEET = process.env.FLEET === '1';

async function main(): Promise<number> {
  requireParts();
  const stage = createStage();
  let closing: Promise<void> | undefined;
  let isInterrupted = false;
  const close = (): Promise<void> => {
    closing ??= stage.close();
    return closing;
  };
  // A terminal that was closed must not keep us from cleaning up.
  process.stdout.on('error', () => undefined);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (isInterrupted) return;
      isInterrupted = true;
      stage.say(`\n${signal}: cleaning up`);
      void close().then(() => process.exit(130));
    });
  }
  try {
    await play(stage);
    stage.heading('Done: every step showed what it should. Cleaning up');
    return 0;
  } catch (error) {
    // Ctrl-C ends the command that is being shown as well, and that is seen before the signal is.
    await delay(100);
    if (isInterrupted) return 130;
    if (!(error instanceof DemoFailure)) throw error;
    stage.say(`\nFAILED: ${error.message}`);
    showGatewayLog(stage);
    return 1;
  } finally {
    await close();
  }
}

async function play(stage: Stage): Promise<void> {
  if (IS_FLEET) {
    stage.heading('1. Two platforms on one database, and a device that may activate on them');
    await stage.startFleet();
  } else {
    stage.heading('1. A platform, and a device that may activate on it');
    await stage.startPlatform();
  }
  stage.gwe(['platform', 'device', 'add', PRODUCT, SERIAL]);

  stage.heading('2. A gateway: configured, and gwe run by supervisord');
  stage.gwe(
    [
      '-P',
      PRODUCT,
      '-u',
      SERIAL,
      '-t',
      '1',
      '--set-platform-url',
      stage.platformUrl,
      '--set',
      'settle_time=1',
    ],
    { onGateway: true },
  );
  await stage.startSupervisord();
  stage.say(indent(stage.supervisorctl('status')));
  await stage.expect('a first device_info report', 15_000, () => readAlias(stage, 'device_info'));
  stage.say('The gateway has activated and sent its first reports:');
  showReport(stage, 'engine_report');

  stage.heading('3. Version 1 of an app: build, upload, command');
  await release(stage, '1', `while :; do echo "hello from version 1"; sleep 1; done`);
  await expectOutcome(stage, '1', 'installed', '1');
  await expectHello(stage, '1');

  stage.heading('4. Version 2 takes its place');
  await release(stage, '2', `while :; do echo "hello from version 2"; sleep 1; done`);
  await expectOutcome(stage, '2', 'installed', '2');
  await expectHello(stage, '2');
  await stage.expect('version 2 in engine_report', 10_000, () =>
    readAlias(stage, 'engine_report')?.includes('"version":"2"') ? true : undefined,
  );
  showReport(stage, 'engine_report');

  if (IS_FLEET) {
    stage.heading('The first platform is killed: the gateway goes on with the second');
    await stage.killFirstPlatform();
  }

  stage.heading('5. Version 3 dies at its start: gwe goes back to version 2');
  await release(stage, '3', `echo "version 3 cannot start"; exit 1`);
  await expectOutcome(stage, '3', 'rolled-back', '2');
  await expectHello(stage, '2');
}

/** What a developer does for a new version. */
async function release(stage: Stage, version: string, script: string): Promise<void> {
  writeApp(stage, version, script);
  const isFirst = version === '1';
  for (const name of isFirst ? ['hello.json', 'install.sh', 'supervisor.conf', 'hello.sh'] : ['hello.sh'])
    stage.show(join(stage.workshop, name));
  const tarball = stage.gwe(['--build-app', 'hello.json'], { inWorkshop: true }).trim();
  stage.gwe(['platform', 'content', 'put', PRODUCT, tarball]);
  const command = JSON.stringify({ install: [{ name: `${APP}.v${version}.tar.gz` }] });
  stage.gwe(['platform', 'write', PRODUCT, SERIAL, 'engine_fetch', command]);
}

function writeApp(stage: Stage, version: string, script: string): void {
  const directory = stage.workshop;
  mkdirSync(directory, { recursive: true });
  const executable = { mode: 0o755 };
  writeFileSync(
    join(directory, 'install.sh'),
    `#!/bin/sh\necho "install.sh of version $GWE_APP_VERSION"\n`,
    executable,
  );
  writeFileSync(join(directory, 'hello.sh'), `#!/bin/sh\n${script}\n`, executable);
  const current = join(stage.root, 'opt/gwe/apps', APP, 'current/hello.sh');
  writeFileSync(
    join(directory, 'supervisor.conf'),
    `[supervisord]\ncommand = ${current}\nstartretries = 0\n`,
  );
  const includes = ['install.sh', 'hello.sh', 'supervisor.conf'];
  const buildfile = { name: APP, version, includes, excludes: [], pre_build_cmds: [], post_build_cmds: [] };
  writeFileSync(join(directory, 'hello.json'), `${JSON.stringify(buildfile, undefined, 2)}\n`);
}

/** Waits for the report about `version`, shows it, and checks what it says. */
async function expectOutcome(stage: Stage, version: string, outcome: string, active: string): Promise<void> {
  const report = await stage.expect(`a fetch_status about version ${version}`, 25_000, () => {
    const status = JSON.parse(readAlias(stage, 'fetch_status') ?? '{}') as Record<string, unknown>;
    return status.version === version ? status : undefined;
  });
  showReport(stage, 'fetch_status');
  if (report.outcome !== outcome)
    throw new DemoFailure(`fetch_status says '${report.outcome}', expected '${outcome}'`);
  if (report.active !== active) throw new DemoFailure(`active is '${report.active}', expected '${active}'`);
}

/** As it stands on the platform, by its fields. */
function showReport(stage: Stage, alias: string): void {
  stage.gwe(['platform', 'read', PRODUCT, SERIAL, alias, '--pretty']);
}

/** The app is RUNNING, and its log grows by lines of `version`. */
async function expectHello(stage: Stage, version: string): Promise<void> {
  const status = stage.supervisorctl('status', APP);
  stage.say(`$ supervisorctl status ${APP}\n${indent(status)}`);
  if (!/RUNNING/.test(status)) throw new DemoFailure(`${APP} is not RUNNING: ${status}`);
  const log = join(stage.root, 'var/log', `${APP}.log`);
  const line = await stage.expect(`"hello from version ${version}" at the end of ${APP}.log`, 5000, () => {
    const last = readFileSync(log, 'utf8').trimEnd().split('\n').at(-1);
    return last === `hello from version ${version}` ? last : undefined;
  });
  stage.say(`$ tail -n 1 gateway/var/log/${APP}.log\n  ${line}`);
}

function readAlias(stage: Stage, alias: string): string | undefined {
  try {
    return stage.gwe(['platform', 'read', PRODUCT, SERIAL, alias], { quiet: true }).trim() || undefined;
  } catch (error) {
    if (error instanceof DemoFailure) return undefined;
    throw error;
  }
}

function showGatewayLog(stage: Stage): void {
  try {
    const log = readFileSync(join(stage.root, 'var/log/gwe.log'), 'utf8');
    stage.say(`The end of the gateway's log:\n${indent(log.split('\n').slice(-20).join('\n'))}`);
  } catch {
    stage.say('The gateway has no log yet.');
  }
}

function indent(text: string): string {
  return text.trimEnd().replace(/^/gm, '  ');
}

process.exitCode = await main();
