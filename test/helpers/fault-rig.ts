/** A gateway that is put back to the same beginning again and again, and what must be true of it at every end. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSystemClock } from '../../src/base/clock.ts';
import { createOutbox } from '../../src/store/outbox.ts';
import { createSupervisorClient, type SupervisorClient } from '../../src/supervisor/client.ts';
import { createGateway, EXECUTABLE } from './gateway.ts';
import type { TestPlatform } from './platform.ts';
import { removeRoot } from './remove-root.ts';
import { readShimCount, type ShimRun, shimEnvironment } from './shim.ts';
import type { SocketLine } from './socket-line.ts';
import { type Supervisord, startSupervisord } from './supervisord.ts';
import { makeTarball, type TarballEntry } from './tarball.ts';
import { until } from './until.ts';

export const FULL = process.env.GWE_FAULTS === 'full';
export const PRODUCT = 'p1';
/** The real executable; GWE_COMMAND names another one to look into, its words apart by blanks. */
export const COMMAND: readonly string[] = process.env.GWE_COMMAND?.split(' ') ?? [EXECUTABLE];

/** The line that each suite ends with; `make test-faults` shows them all again at its end. */
export function printTotals(suite: string, startedMs: number, violations: number, what: string): void {
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  const line = `faults: ${suite}: ${what}, ${violations} violations, ${seconds} s`;
  console.log(line);
  const all = process.env.GWE_FAULT_TOTALS;
  if (all !== undefined) appendFileSync(all, `${line}\n`);
}

export interface RunEnd {
  status: number | null;
  signal: NodeJS.Signals | null;
  log: string;
}

export interface Rig {
  serial: string;
  root: string;
  platform: TestPlatform;
  /** With `supervised`: what runs the programs. */
  supervisord: Supervisord | undefined;
  /** Puts the root back to its beginning: version 1 of `one` installed, nothing to do. */
  reset(): Promise<void>;
  /** Replaces the root by another tree of this device's. */
  adopt(tree: string): Promise<void>;
  /** Runs `gwe --once` to its end. */
  once(shim?: Omit<ShimRun, 'root'>): Promise<RunEnd>;
  command(text: string): Promise<void>;
  /** The reports on updates since the last `reset` or `adopt`, oldest first. */
  reports(): Promise<Record<string, unknown>[]>;
  remove(): Promise<void>;
}

/** install.sh of every test app: counts its runs, and says so when another one runs at the same time. */
export function installScript(body = ''): string {
  return `#!/bin/sh
root=$(cd "$GWE_APP_DIR/../../../../.." && pwd -P)
before=$(cat "$root/script.pid" 2>/dev/null)
if [ -n "$before" ] && tr '\\0' ' ' < "/proc/$before/cmdline" 2>/dev/null | grep -q install.sh; then
  echo "overlap $GWE_APP_VERSION" >> "$root/runs.log"
fi
echo $$ > "$root/script.pid"
echo "begin $GWE_APP_VERSION" >> "$root/runs.log"
while [ -e "$root/hang" ]; do sleep 0.05; done
${body}
rm -f "$root/script.pid"
echo "end $GWE_APP_VERSION" >> "$root/runs.log"
`;
}

/** One version of an app: a few files, so that a tree that is half there can be told from a whole one. */
export function appEntries(version: string, extra: Entries = {}): Entries {
  return {
    'install.sh': installScript(),
    VERSION: version,
    'data/': '',
    'data/payload': `${version}\n`.repeat(2000),
    'data/link': { link: 'payload' },
    ...extra,
  };
}

export function appTarball(version: string, extra: Entries = {}): Buffer {
  return makeTarball(appEntries(version, extra));
}

export type Entries = Readonly<Record<string, TarballEntry>>;

export interface RigOptions {
  serial: string;
  command?: readonly string[];
  settings?: Readonly<Record<string, string | number>>;
  /** With a supervisord of its own, whose life the root's copies do not touch; gwe reaches it by the line, if one is given. */
  supervised?: boolean | SocketLine;
  /** Called with the root before anything runs on it. */
  prepare?(root: string): void;
  /** What installs version 1. */
  first?: string;
}

/** Sets up one device with version 1 installed; the platform must hold `one.v1.tar.gz`. */
export async function createRig(platform: TestPlatform, options: RigOptions): Promise<Rig> {
  const { serial, command: argv = COMMAND } = options;
  const home = mkdtempSync(join(tmpdir(), 'gwe-rig-'));
  const root = join(home, 'root');
  const template = join(home, 'template');
  const countFile = join(home, 'count');
  const { supervised = false } = options;
  const supervisord = supervised === false ? undefined : await startBeside(home, root);
  if (typeof supervised === 'object') supervised.target = supervisord?.socketPath ?? '';
  const socket = typeof supervised === 'object' ? supervised.path : supervisord?.socketPath;
  const gateway = await createGateway(platform, {
    command: argv,
    product: PRODUCT,
    serial,
    settings: {
      settle_time: 0,
      // A busy machine may keep the platform of the test from answering for many seconds.
      http_timeout: 60,
      ...(socket === undefined ? {} : { supervisor_socket: socket }),
      ...options.settings,
    },
  });
  let seen = 0;
  const history = () => platform.history(PRODUCT, serial, 'fetch_status');
  const command = (text: string) => platform.write(PRODUCT, serial, 'engine_fetch', text);
  const place = async (tree: string): Promise<void> => {
    if (supervisord !== undefined) await stopPrograms(supervisord);
    removeRoot(root);
    execFileSync('cp', ['-a', tree, root]);
    mkdirSync(join(root, 'etc/supervisor/conf.d'), { recursive: true });
    if (supervisord !== undefined) await startPrograms(supervisord);
  };
  options.prepare?.(gateway.root);
  await place(gateway.root);
  await command(options.first ?? installCommand('one.v1.tar.gz'));
  const first = await runToEnd(argv, root, {});
  if (first.status !== 0) throw new Error(`cannot set up ${serial}: ${first.log}`);
  execFileSync('cp', ['-a', root, template]);
  return {
    serial,
    root,
    platform,
    supervisord,
    reset: () => place(template),
    async adopt(tree) {
      await place(tree);
      execFileSync('cp', ['-a', `${template}/etc/gwe/.`, join(root, 'etc/gwe')]);
    },
    async once(shim) {
      rmSync(countFile, { force: true });
      const env = shim === undefined ? {} : shimEnvironment({ root, countFile, ...shim });
      return runToEnd(argv, root, env);
    },
    async command(text) {
      seen = (await history()).length;
      await command(text);
    },
    async reports() {
      const all = await history();
      return all
        .slice(0, all.length - seen)
        .reverse()
        .map(({ value }) => JSON.parse(value) as Record<string, unknown>);
    },
    async remove() {
      await supervisord?.stop();
      removeRoot(home);
      removeRoot(gateway.root);
    },
  };
}

/** A supervisord outside of `root` that reads the program entries inside of it. */
async function startBeside(home: string, root: string): Promise<Supervisord> {
  const outside = join(home, 'supervisord');
  mkdirSync(join(outside, 'etc/supervisor'), { recursive: true });
  mkdirSync(join(root, 'etc/supervisor/conf.d'), { recursive: true });
  symlinkSync(join(root, 'etc/supervisor/conf.d'), join(outside, 'etc/supervisor/conf.d'));
  return startSupervisord(outside);
}

function clientOf({ socketPath }: Supervisord): SupervisorClient {
  return createSupervisorClient({
    address: socketPath,
    timeoutMs: 60_000,
    maxAttempts: 3,
    clock: createSystemClock(),
  });
}

async function stopPrograms(supervisord: Supervisord): Promise<void> {
  const client = clientOf(supervisord);
  for (const group of new Set((await client.getAllProcessInfo()).map((info) => info.group))) {
    await client.stopProcessGroup(group, true);
    await client.removeProcessGroup(group);
  }
}

async function startPrograms(supervisord: Supervisord): Promise<void> {
  const client = clientOf(supervisord);
  for (const group of (await client.reloadConfig()).added) await client.addProcessGroup(group);
}

/** The calls that the last run of `rig` under the shim made. */
export function callsOf(rig: Rig): number {
  return readShimCount(join(rig.root, '../count'));
}

const RUN_DEADLINE_MS = 120_000;

function runToEnd(
  [program = '', ...first]: readonly string[],
  root: string,
  env: Record<string, string>,
): Promise<RunEnd> {
  const child: ChildProcess = spawn(program, [...first, '--once'], {
    env: { PATH: process.env.PATH ?? '', HOME: root, GWE_ROOT: root, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    log += chunk.toString('utf8');
  });
  const deadline = setTimeout(() => child.kill('SIGKILL'), RUN_DEADLINE_MS);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, signal) => {
      clearTimeout(deadline);
      resolve({ status, signal, log });
    });
  });
}

export function installCommand(...names: string[]): string {
  return JSON.stringify({ install: names.map((name) => ({ name })) });
}

/** The version that `current` of `app` points at, if what is there is whole. Otherwise a sentence. */
export function activeVersion(root: string, app = 'one'): { version: string } | { violation: string } {
  const link = join(root, 'opt/gwe/apps', app, 'current');
  if (lstatSync(link, { throwIfNoEntry: false }) === undefined)
    return { violation: `no 'current' of ${app}` };
  const name = readlinkSync(link);
  const version = name.split('-')[0] ?? '';
  try {
    const said = readFileSync(join(link, 'VERSION'), 'utf8');
    const payload = readFileSync(join(link, 'data/link'), 'utf8');
    const isWhole = said === version && payload === `${version}\n`.repeat(2000);
    return isWhole ? { version } : { violation: `'current' is ${name}, its files say '${said}'` };
  } catch (error) {
    return { violation: `'current' is ${name}: ${String(error)}` };
  }
}

/** What crashed transactions may leave and a finished one may not. */
export function leftovers(root: string): string[] {
  const found = readdirSync(root, { recursive: true, encoding: 'utf8' });
  const isLeft = (path: string): boolean =>
    /(^|\/)\.(staging-|trash-|part-|gwe-tmp-)[^/]*$/.test(path) ||
    /^var\/lib\/gwe\/(downloads|scripts)\/./.test(path);
  return found.filter(isLeft).map((path) => `left behind: ${path}`);
}

/** Of what `leftovers` finds: bytes of a tarball, and what its chunks were unpacked to. */
export function isOfDownload(path: string): boolean {
  return path.includes('/downloads/') || path.includes('/.part-');
}

export interface Expectation {
  /** What the one report may say. */
  outcomes: readonly string[];
}

/** Everything that must be true when the dust has settled; the sentences of what is not. */
export async function violationsAtRest(rig: Rig, expected: Expectation): Promise<string[]> {
  const reports = (await rig.reports()).filter((report) => !isWaitingForSpace(report));
  // What a broken-off download got stays for the next command.
  const isCutShort = reports.at(-1)?.phase === 'downloading';
  const violations = leftovers(rig.root).filter((path) => !isCutShort || !isOfDownload(path));
  const active = activeVersion(rig.root);
  if ('violation' in active) return [...violations, active.violation];
  if (reports.length !== 1)
    violations.push(`${reports.length} reports: ${reports.map((r) => `${r.tx} ${r.outcome}`).join(', ')}`);
  const [report] = reports;
  if (report !== undefined) {
    if (!expected.outcomes.includes(String(report.outcome)))
      violations.push(`outcome ${report.outcome} (${report.code} ${report.reason})`);
    if (report.active !== active.version) violations.push(`reports ${report.active}, runs ${active.version}`);
    if ((report.outcome === 'installed') !== (active.version === String(report.version)))
      violations.push(`reports '${report.outcome}' of ${report.version}, runs ${active.version}`);
  }
  if ((await rig.platform.read(PRODUCT, rig.serial, 'engine_fetch')) !== '')
    violations.push('the command is still there');
  violations.push(...(await programViolations(rig, active.version)));
  return [...violations, ...stateViolations(rig.root, active.version), ...overlaps(rig.root)];
}

/** What the program of a version is started by, so that its command line tells which one runs. */
export function programOf(version: string): string {
  return `[supervisord]\ncommand = /bin/sleep 100${version}\n`;
}

async function programViolations({ supervisord }: Rig, version: string): Promise<string[]> {
  if (supervisord === undefined) return [];
  const look = () => supervisord.processInfo('one');
  await until(async () => (await look())?.statename !== 'STARTING').catch(() => undefined);
  const info = await look();
  if (info?.statename !== 'RUNNING') return [`supervisord says ${info?.statename} ${info?.spawnerr}`];
  const [, runs] = readFileSync(`/proc/${info.pid}/cmdline`, 'utf8').split('\0');
  return runs === `100${version}` ? [] : [`supervisord runs ${runs}, 'current' is ${version}`];
}

/** With a full disk a command is not taken over, and the platform is told so; its own report comes later. */
function isWaitingForSpace({ code, reason }: Record<string, unknown>): boolean {
  return code === 'STORE_NO_SPACE' && /the command waits until there is space/.test(String(reason));
}

/** Journal and records against what is on the disk. */
export function stateViolations(root: string, version: string): string[] {
  const violations: string[] = [];
  const state = join(root, 'var/lib/gwe');
  const read = (name: string): unknown => JSON.parse(readFileSync(join(state, name), 'utf8'));
  const { transaction } = read('journal.json') as { transaction: { closed: boolean; state: string } };
  if (!transaction.closed) violations.push(`the journal is open in '${transaction.state}'`);
  const { apps } = read('installed.json') as { apps: Record<string, { active?: { version: string } }> };
  if (apps.one?.active?.version !== version)
    violations.push(`installed.json says ${apps.one?.active?.version}, runs ${version}`);
  const waiting = createOutbox(join(state, 'outbox')).keys();
  if (waiting.length > 0) violations.push(`unsent: ${waiting.join(',')}`);
  if (existsSync(join(state, 'command.json'))) violations.push('command.json is still there');
  return violations;
}

/** No install.sh may have begun while another ran. */
export function overlaps(root: string): string[] {
  const path = join(root, 'runs.log');
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  return text.includes('overlap') ? ['two install.sh ran at once'] : [];
}

/** Runs `work` for 1, 2, 3, ... by as many as there are `workers`, until one returns false. */
export async function inParallel<T>(
  workers: readonly T[],
  work: (worker: T, n: number) => Promise<boolean>,
): Promise<void> {
  let next = 1;
  let isOver = false;
  await Promise.all(
    workers.map(async (worker) => {
      while (!isOver) {
        const goOn = await work(worker, next++);
        if (!goOn) isOver = true;
      }
    }),
  );
}
