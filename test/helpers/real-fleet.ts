/**
 * A fleet as it is in the field: the executable as a platform with a worker for patches, and gateways each with a root
 * and a supervisord of its own, in which the agent is a program.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { EXECUTABLE } from './gateway.ts';
import { removeRoot } from './remove-root.ts';
import { type Supervisord, startSupervisord } from './supervisord.ts';
import { until } from './until.ts';

const run = promisify(execFile);
const INTERVAL_S = '5';

export interface RealGateway {
  readonly serial: string;
  readonly root: string;
  readonly supervisord: Supervisord;
  /** Sends it to the agent, as it runs now. */
  signal(name: NodeJS.Signals): Promise<void>;
  log(): string;
}

export interface RealFleet {
  readonly home: string;
  readonly gateways: readonly RealGateway[];
  /** What a gwe command prints that an operator types. Rejects for a status other than 0. */
  gwe(...words: string[]): Promise<string>;
  end(): Promise<void>;
}

export async function startRealFleet(serials: readonly string[]): Promise<RealFleet> {
  const home = mkdtempSync(join(tmpdir(), 'gwe-fleet-'));
  const env = { PATH: process.env.PATH ?? '', HOME: home };
  const children: ChildProcess[] = [];
  const gateways: RealGateway[] = [];
  const end = async (): Promise<void> => {
    // A stopped agent would not end for supervisord's SIGTERM.
    await Promise.all(gateways.map((gateway) => gateway.signal('SIGCONT')));
    await Promise.all(gateways.map(({ supervisord }) => supervisord.stop()));
    await Promise.all(children.map(endChild));
    for (const { root } of gateways) removeRoot(root);
    removeRoot(home);
  };
  const gwe = async (...words: string[]) => (await run(EXECUTABLE, words, { env, cwd: home })).stdout;
  try {
    const served = spawn(EXECUTABLE, ['platform', 'serve', '--data', 'data', '--listen', '127.0.0.1:0'], {
      env,
      cwd: home,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    children.push(served);
    const [line] = await once(served.stdout, 'data');
    const url = String(line).replace('listening on ', '').trim();
    await until(() => existsSync(join(home, '.local/state/gwe/platform.json')));
    const rows = ['serial', ...serials].join('\n');
    writeFileSync(join(home, 'gateways.csv'), `${rows}\n`);
    await gwe('fleet', 'device', 'import', 'p1', 'gateways.csv', '--create', '--enable');
    children.push(await startWorker(gwe, home, url));
    // Uploads are left to a worker once it has asked for work.
    await until(async () => / one worker\n$/.test(await gwe('fleet', 'patch', 'list', 'p1')));
    for (const serial of serials) gateways.push(await startGateway(serial, url));
  } catch (error) {
    await end();
    throw error;
  }
  return { home, gateways, gwe, end };
}

/** With the token of the README, which may do no more than a worker needs. */
async function startWorker(gwe: RealFleet['gwe'], home: string, url: string): Promise<ChildProcess> {
  const token = await gwe('fleet', 'token', 'create', 'patch-worker', '--role', 'releaser', '--days', '90');
  const file = join(home, 'worker-token');
  writeFileSync(file, token, { mode: 0o600 });
  // No HOME with the platform's own token in it.
  return spawn(EXECUTABLE, ['platform', 'worker', '--url', url, '--token-file', file], {
    env: { PATH: process.env.PATH ?? '', HOME: join(home, 'nobody') },
    cwd: home,
    stdio: 'ignore',
  });
}

async function startGateway(serial: string, url: string): Promise<RealGateway> {
  const root = mkdtempSync(join(tmpdir(), 'gwe-gateway-'));
  const env = { PATH: process.env.PATH ?? '', HOME: root, GWE_ROOT: root };
  await run(EXECUTABLE, ['-P', 'p1', '-u', serial, '-t', INTERVAL_S, '--set-platform-url', url], { env });
  const settings = ['settle_time = 1', 'start_deadline = 60', 'watch_window = 0'];
  const config = join(root, 'etc/gwe/Engine.config');
  writeFileSync(config, `${readFileSync(config, 'utf8').trimEnd()}\n${settings.join('\n')}\n`);
  const log = join(root, 'agent.log');
  const programs = join(root, 'etc/supervisor/conf.d');
  mkdirSync(programs, { recursive: true });
  writeFileSync(join(programs, 'gwe.conf'), entryOf(env, log));
  const supervisord = await startSupervisord(root);
  return {
    serial,
    root,
    supervisord,
    log: () => (existsSync(log) ? readFileSync(log, 'utf8') : ''),
    async signal(name) {
      const pid = (await supervisord.processInfo('gwe'))?.pid ?? 0;
      if (pid > 0) process.kill(pid, name);
    },
  };
}

function entryOf(env: Readonly<Record<string, string>>, log: string): string {
  const variables = Object.entries(env).map(([name, value]) => `${name}="${value}"`);
  return [
    '[program:gwe]',
    `command = ${EXECUTABLE}`,
    'directory = /',
    `environment = ${variables.join(',')}`,
    'autorestart = true',
    'startretries = 1000000',
    'stopwaitsecs = 30',
    'redirect_stderr = true',
    `stdout_logfile = ${log}`,
    '',
  ].join('\n');
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}
