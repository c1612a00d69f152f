/** How long an operator waits: from the command to the new version of a small app, over TLS and with a real supervisord. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createGateway, type Gateway } from '../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { startSupervisord } from '../helpers/supervisord.ts';
import { INSTALL_OK, makeTarball } from '../helpers/tarball.ts';
import { until } from '../helpers/until.ts';
import { type Row, rowOf } from './row.ts';
import { type Contender, measureGroup, type Result } from './sample.ts';
import { EXECUTABLE, PRODUCT } from './site.ts';

const APP = 'hello';
const DEADLINE_MS = 30_000;

export async function updateRows(): Promise<Row[]> {
  const bySecond = await measureUpdates('check-in every second', ['update_interval=1']);
  const byPoll = await measureUpdates('long poll', ['update_interval=14400', 'long_poll=on']);
  return [
    ...rowsOf('command written, check-in every second, small app', 'update', 3, bySecond),
    ...rowsOf('command written, long poll, small app', 'update.poll', 2, byPoll),
  ];
}

function rowsOf(what: string, key: string, goal: number, ours: Result | undefined): Row[] {
  const facts = { unit: 's', quantity: 'runningSeconds', goal };
  const reported = `${what}: success is reported (settle_time = 1)`;
  return [
    rowOf({ ...facts, key: `${key}.running`, what: `${what}: it runs` }, ours),
    rowOf({ unit: 's', quantity: 'reportedSeconds', key: `${key}.reported`, what: reported }, ours),
  ];
}

async function measureUpdates(title: string, settings: readonly string[]): Promise<Result | undefined> {
  const platform = await startPlatform({ tls: true });
  // A short path: that of a UNIX socket is limited.
  const directory = mkdtempSync(join(tmpdir(), 'b-'));
  const gateway = await createGateway(platform, { command: [EXECUTABLE], product: PRODUCT, directory });
  const supervisord = await startSupervisord(gateway.root);
  try {
    gateway.gwe('--set-ca-file', platform.caFile ?? '');
    for (const setting of settings) gateway.gwe('--set', setting);
    gateway.start();
    const [ours] = await measureGroup({
      title: `update, ${title}`,
      contenders: [updates(platform, gateway)],
      quantity: 'runningSeconds',
      leastRuns: 8,
      mostRuns: 10,
    });
    return ours;
  } finally {
    await gateway.remove();
    await supervisord.stop();
    await platform.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Each run brings the next version of a program of 3 files, at another moment between two check-ins. */
function updates(platform: TestPlatform, gateway: Gateway): Contender {
  let version = 0;
  const update = async (): Promise<{ runningSeconds: number; reportedSeconds: number }> => {
    const id = `${APP}.v${++version}.tar.gz`;
    await platform.putContent(PRODUCT, id, smallApp(gateway.root));
    await delay(((version * 370) % 1000) + 1000);
    const before = performance.now();
    const since = (): number => (performance.now() - before) / 1000;
    const reported = gateway.command(platform, JSON.stringify({ install: [{ name: id }] }));
    await until(() => saidBy(gateway.root) === String(version), DEADLINE_MS);
    const runningSeconds = since();
    const report = await reported;
    if (report.outcome !== 'installed') throw new Error(`the update ended so: ${JSON.stringify(report)}`);
    return { runningSeconds, reportedSeconds: since() };
  };
  return {
    name: 'gwe',
    what: 'a new version of a program',
    async run() {
      // The first version has none to stop.
      if (version === 0) await update();
      return update();
    },
  };
}

function smallApp(root: string): Buffer {
  const program = join(root, 'opt/gwe/apps', APP, 'current/bin/hello');
  return makeTarball({
    'install.sh': INSTALL_OK,
    'supervisor.conf': `[supervisord]\ncommand = ${program}\n`,
    'bin/hello': `#!/bin/sh\nreadlink -f "$0" > ${join(root, 'said')}\nexec sleep 1000\n`,
  });
}

/** The version whose program has started last. */
function saidBy(root: string): string | undefined {
  try {
    return new RegExp(`/${APP}/([^/-]+)-`).exec(readFileSync(join(root, 'said'), 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}
