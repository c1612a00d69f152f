/** A real supervisord in a throw-away root, for conformance and end-to-end tests. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import type { ProgramPlace } from '../../src/supervisor/programs.ts';
import { until } from './until.ts';

export interface Supervisord {
  socketPath: string;
  /** root/etc/supervisor/conf.d */
  confDirectory: string;
  /** For whoever puts program entries there. */
  place: ProgramPlace;
  configFile: string;
  pid: number;
  /** What supervisord says about `name` (`group:process` for a process of a group), or `undefined` if unknown. */
  processInfo(name: string): Promise<ProcessFacts | undefined>;
  /** The text of supervisord's own log. */
  log(): string;
  /** Ends supervisord and its programs in order (SIGTERM), and waits. */
  stop(): Promise<void>;
  /** SIGKILL to supervisord alone, also to one that took its place: its programs live on. Waits. */
  kill(): Promise<void>;
}

export interface ProcessFacts {
  name: string;
  group: string;
  statename: string;
  pid: number;
  exitstatus: number;
  start: number;
  spawnerr: string;
}

export interface SupervisordOptions {
  env?: Readonly<Record<string, string>>;
  /** More sections for the main file. */
  extraConfig?: string;
  username?: string;
  password?: string;
}

const SUPERVISORD = '/usr/bin/supervisord';
/** Python alone may take ten seconds to start on a machine with much else to do. */
const START_MS = 60_000;

/** Starts supervisord for `root` (which should have a short path: a UNIX socket's is limited) and waits for its socket. */
export async function startSupervisord(root: string, options: SupervisordOptions = {}): Promise<Supervisord> {
  if (!existsSync(SUPERVISORD)) {
    throw new Error(`${SUPERVISORD} is not installed: apt-get install supervisor`);
  }
  const paths = layOut(root, options);
  const child = spawn(SUPERVISORD, ['-n', '-c', paths.configFile], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH ?? '/usr/bin:/bin', ...options.env },
  });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-4000);
  });
  const authorization = authorizationOf(options);
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`supervisord exited ${child.exitCode}: ${complaint}`);
    return (await call(paths.socketPath, 'getPID', undefined, authorization)) !== undefined;
  }, START_MS);
  return {
    ...paths,
    pid: child.pid ?? 0,
    processInfo: (name) => processInfo(paths.socketPath, name, authorization),
    log: () => (existsSync(paths.logFile) ? readFileSync(paths.logFile, 'utf8') : ''),
    stop: () => endAll(child, paths, 'SIGTERM'),
    kill: () => endAll(child, paths, 'SIGKILL'),
  };
}

/** Writes root/etc/supervisor/supervisord.conf and the directories around it, without starting anything. */
export function layOut(root: string, options: SupervisordOptions = {}) {
  const confDirectory = join(root, 'etc/supervisor/conf.d');
  const configFile = join(root, 'etc/supervisor/supervisord.conf');
  const socketPath = join(root, 'run/supervisor.sock');
  const logFile = join(root, 'var/log/supervisor/supervisord.log');
  const pidFile = join(root, 'run/supervisord.pid');
  for (const directory of [confDirectory, join(root, 'run'), join(root, 'var/log/supervisor')]) {
    mkdirSync(directory, { recursive: true });
  }
  const login =
    options.username === undefined
      ? ''
      : `username = ${options.username}\npassword = ${options.password ?? ''}\n`;
  writeFileSync(
    configFile,
    `[unix_http_server]
file = ${socketPath}
chmod = 0700
${login}
[supervisord]
logfile = ${logFile}
pidfile = ${pidFile}
childlogdir = ${join(root, 'var/log/supervisor')}
identifier = gwe-test

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[include]
files = conf.d/*.conf

${options.extraConfig ?? ''}`,
  );
  const place = {
    programsDirectory: confDirectory,
    programPrefix: '',
    programSuffix: '.conf',
    supervisorConfig: configFile,
  };
  return { confDirectory, place, configFile, socketPath, logFile, pidFile };
}

/** What supervisord's own reader says about a configuration: `undefined` if it would start, else its complaint. */
export function readBySupervisord(
  configFile: string,
  env: Readonly<Record<string, string>> = {},
): string | undefined {
  const script = [
    'import sys',
    'from supervisor.options import ServerOptions',
    'o = ServerOptions()',
    "o.realize(['-n', '-c', sys.argv[1]])",
  ].join('\n');
  const run = spawnSync('/usr/bin/python3', ['-c', script, configFile], {
    encoding: 'utf8',
    env: { PATH: '/usr/bin:/bin', ...env },
  });
  return run.status === 0 ? undefined : `${run.stdout}${run.stderr}`.trim() || `status ${run.status}`;
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill(signal);
  await gone;
}

/** The one that was started here, or one that something has started in its place since. */
async function endAll(
  child: ChildProcess,
  { configFile, pidFile }: ReturnType<typeof layOut>,
  signal: NodeJS.Signals,
): Promise<void> {
  await end(child, signal);
  const pid = existsSync(pidFile) ? readFileSync(pidFile, 'utf8').trim() : '';
  const isIt = (): boolean => {
    try {
      return pid !== '' && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(configFile);
    } catch {
      return false;
    }
  };
  if (isIt()) process.kill(Number(pid), signal);
  await until(() => !isIt(), START_MS);
}

function authorizationOf(options: SupervisordOptions): string | undefined {
  if (options.username === undefined) return undefined;
  return `Basic ${Buffer.from(`${options.username}:${options.password ?? ''}`).toString('base64')}`;
}

async function processInfo(
  socketPath: string,
  name: string,
  authorization: string | undefined,
): Promise<ProcessFacts | undefined> {
  const xml = await call(socketPath, 'getProcessInfo', name, authorization);
  if (xml === undefined || xml.includes('<fault>')) return undefined;
  const member = (key: string): string =>
    new RegExp(`<name>${key}</name>\\s*<value><\\w+>([^<]*)<`).exec(xml)?.[1] ?? '';
  return {
    name: member('name'),
    group: member('group'),
    statename: member('statename'),
    pid: Number(member('pid')),
    exitstatus: Number(member('exitstatus')),
    start: Number(member('start')),
    spawnerr: member('spawnerr'),
  };
}

/** The least of XML-RPC, so that what is tested is not measured with itself. */
function call(
  socketPath: string,
  method: string,
  parameter: string | undefined,
  authorization: string | undefined,
): Promise<string | undefined> {
  const params = parameter === undefined ? '' : `<param><value><string>${parameter}</string></value></param>`;
  const body = `<?xml version="1.0"?><methodCall><methodName>supervisor.${method}</methodName><params>${params}</params></methodCall>`;
  return new Promise((resolve) => {
    const headers = {
      'content-type': 'text/xml',
      'content-length': Buffer.byteLength(body),
      connection: 'close',
      ...(authorization === undefined ? {} : { authorization }),
    };
    const sent = request({ socketPath, path: '/RPC2', method: 'POST', headers, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () => resolve(response.statusCode === 200 ? text : undefined));
    });
    sent.on('error', () => resolve(undefined));
    sent.end(body);
  });
}
