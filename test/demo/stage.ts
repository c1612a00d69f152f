/** The demo's stage: a throw-away root, the processes on it, and how they are shown and taken down. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startBackends, startBalancer } from './fleet.ts';

const REPOSITORY = join(import.meta.dirname, '../..');
export const GWE = join(REPOSITORY, 'dist/gwe');
const BOLD =
  process.stdout.isTTY && process.env.NO_COLOR === undefined ? ['\u001b[1m', '\u001b[0m'] : ['', ''];

/** A step did not show what it should. */
export class DemoFailure extends Error {}

export interface GweOptions {
  /** With the gateway's root. */
  onGateway?: boolean;
  inWorkshop?: boolean;
  /** In this directory, below `home`. */
  inside?: string;
  /** Nothing is shown. */
  quiet?: boolean;
}

export interface Stage {
  /** Where everything is. */
  home: string;
  /** Of every command; the platform is found by HOME. */
  env: Record<string, string>;
  /** Stands for `/` of the gateway. */
  root: string;
  /** The developer's working directory. */
  workshop: string;
  platformUrl: string;
  heading(text: string): void;
  /** Shows a gwe command as a person would type it, runs it, shows what it prints; throws if it fails. */
  gwe(args: readonly string[], options?: GweOptions): string;
  say(text: string): void;
  /** Shows a file as `cat` would. */
  show(path: string): void;
  /** Waits until `check` gives something; throws a DemoFailure that says `what` was expected. */
  expect<T>(what: string, deadlineMs: number, check: () => T | undefined): Promise<T>;
  startPlatform(): Promise<void>;
  /** Two platforms on PostgreSQL and Swift: gateways call them in turn, operators the second. */
  startFleet(): Promise<void>;
  /** Ends the first of the two at once, as a crash would. */
  killFirstPlatform(): Promise<void>;
  /** Of the gateway with this root; without it, of the stage's one gateway. */
  startSupervisord(root?: string): Promise<void>;
  supervisorctl(...args: string[]): string;
  close(): Promise<void>;
}

/** Only ends what would wait for ever: a busy machine takes its time. */
const DEADLINE_MS = 90_000;

export function createStage(): Stage {
  const home = mkdtempSync(join(tmpdir(), 'gwe-demo-'));
  const root = join(home, 'gateway');
  const workshop = join(home, 'workshop');
  for (const directory of [root, workshop]) mkdirSync(directory, { recursive: true });
  const children: ChildProcess[] = [];
  const env: Record<string, string> = {
    PATH: process.env.PATH ?? '',
    HOME: home,
  };
  const configOf = (of: string): string => join(of, 'etc/supervisor/supervisord.conf');
  const control = (of: string, args: readonly string[]): string =>
    spawnSync('supervisorctl', ['-c', configOf(of), ...args], { env, encoding: 'utf8' }).stdout;
  const endings: (() => void | Promise<void>)[] = [];
  const serve = async (args: readonly string[], more: Readonly<Record<string, string>>): Promise<Served> => {
    const all = ['platform', 'serve', ...args, '--listen', '127.0.0.1:0'];
    say(foldCommand(['gwe', ...all.map((word) => shorten(quote(word), home)), '&']));
    const child = spawn(GWE, all, { env: { ...env, ...more } });
    children.push(child);
    let printed = '';
    child.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
    });
    const url = await stage.expect(
      'the line "listening on URL"',
      DEADLINE_MS,
      () => /listening on (\S+)/.exec(printed)?.[1],
    );
    showOutput(printed, home);
    return { url, child };
  };
  let first: ChildProcess | undefined;
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  const stage: Stage = {
    home,
    env,
    root,
    workshop,
    platformUrl: '',
    say,
    show(path) {
      say(`$ cat ${shorten(path, home)}`);
      showOutput(readFileSync(path, 'utf8').replaceAll(root, 'gateway'), home);
    },
    heading: (text) => say(`\n${BOLD[0]}== ${text}${BOLD[1]}`),
    gwe(args, { onGateway = false, inWorkshop = false, quiet = false, inside } = {}) {
      const place = inside ?? (inWorkshop ? 'workshop' : undefined);
      const all = onGateway ? ['--root', root, ...args] : [...args];
      const words = ['gwe', ...all.map((word) => shorten(quote(word), home))];
      if (!quiet)
        say(
          foldCommand(
            place === undefined ? words : ['(cd', `${place};`, ...words.slice(0, -1), `${words.at(-1)})`],
          ),
        );
      const result = spawnSync(GWE, all, {
        cwd: join(home, place ?? '.'),
        env,
        encoding: 'utf8',
        timeout: 30_000,
      });
      if (!quiet) showOutput(`${result.stderr}${result.stdout}`, home);
      if (result.status !== 0)
        throw new DemoFailure(`gwe ${args[0]} ended with status ${result.status}: ${result.stderr}`);
      return result.stdout;
    },
    async expect(what, deadlineMs, check) {
      const end = performance.now() + deadlineMs;
      for (;;) {
        const found = check();
        if (found !== undefined) return found;
        if (performance.now() > end) throw new DemoFailure(`expected within ${deadlineMs / 1000} s: ${what}`);
        await delay(250);
      }
    },
    async startPlatform() {
      const { url } = await serve(['--data', join(home, 'platform')], {});
      stage.platformUrl = url;
    },
    async startFleet() {
      say('  (starting PostgreSQL and Swift, from the packages of Debian)');
      const tokenFile = join(home, 'token');
      const backends = await startBackends(tokenFile);
      endings.push(backends.end);
      const one = await serve(backends.args, backends.env);
      const two = await serve(backends.args, backends.env);
      first = one.child;
      const balancer = await startBalancer([one.url, two.url]);
      endings.push(balancer.end);
      stage.platformUrl = balancer.url;
      env.GWE_PLATFORM_URL = two.url;
      env.GWE_PLATFORM_TOKEN_FILE = tokenFile;
      say(`  Gateways call ${balancer.url}, which hands them to either; operators call the second.`);
    },
    async killFirstPlatform() {
      if (first === undefined) return;
      say(`$ kill -9 ${first.pid}`);
      const gone = new Promise((resolve) => first?.once('exit', resolve));
      first.kill('SIGKILL');
      await gone;
    },
    async startSupervisord(of = root) {
      writeConfigs(of, configOf(of));
      say(`$ supervisord -c ${shorten(configOf(of), home)}`);
      children.push(spawn('supervisord', ['-n', '-c', configOf(of)], { env, stdio: 'ignore' }));
      await stage.expect('gwe RUNNING under supervisord', DEADLINE_MS, () =>
        /gwe\s+RUNNING/.test(control(of, ['status'])) ? true : undefined,
      );
    },
    supervisorctl: (...args) => control(root, args),
    async close() {
      for (const child of children.reverse()) await end(child);
      for (const ending of endings.reverse()) await ending();
      rmSync(home, { recursive: true, force: true });
    },
  };
  return stage;
}

interface Served {
  url: string;
  child: ChildProcess;
}

/** supervisord as Debian lays it out, with gwe as one of its programs. */
function writeConfigs(root: string, config: string): void {
  const programs = join(root, 'etc/supervisor/conf.d');
  for (const directory of [programs, join(root, 'run'), join(root, 'var/log')])
    mkdirSync(directory, { recursive: true });
  const socket = join(root, 'run/supervisor.sock');
  writeFileSync(
    config,
    `[unix_http_server]\nfile = ${socket}\nchmod = 0700\n
[supervisord]\nlogfile = ${root}/var/log/supervisord.log\npidfile = ${root}/run/supervisord.pid\n
[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n
[supervisorctl]\nserverurl = unix://${socket}\n
[include]\nfiles = ${programs}/*.conf\n`,
  );
  writeFileSync(
    join(programs, 'gwe.conf'),
    `[program:gwe]\ncommand = ${GWE} --root ${root}\nstartretries = 1000000
redirect_stderr = true\nstdout_logfile = ${root}/var/log/gwe.log\n`,
  );
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const isSlow = await Promise.race([gone.then(() => false), delay(8000, true)]);
  if (isSlow) child.kill('SIGKILL');
  await gone;
}

function showOutput(text: string, home: string): void {
  for (const line of text.split('\n'))
    if (line.trim() !== '') process.stdout.write(`  ${shorten(line, home)}\n`);
}

function shorten(text: string, home: string): string {
  return text
    .replaceAll(`${home}/`, '')
    .replaceAll(`${relative(process.cwd(), REPOSITORY) || '.'}/dist/`, '');
}

const COLUMNS = 80;

/** A command as it could be typed, on lines that fit a terminal. */
function foldCommand(words: readonly string[]): string {
  const lines: string[] = [];
  let line = '$';
  for (const word of words) {
    if (line.length + word.length + ' '.length > COLUMNS - ' \\'.length) {
      lines.push(`${line} \\`);
      line = '   ';
    }
    line += ` ${word}`;
  }
  return [...lines, line].join('\n');
}

function quote(word: string): string {
  return /^[A-Za-z0-9_./:=@%+,-]+$/.test(word) ? word : `'${word}'`;
}

export function requireParts(): void {
  if (!existsSync(GWE)) throw new DemoFailure("there is no dist/gwe: run 'make build' first");
}
