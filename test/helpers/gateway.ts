/** A gateway of its own below a fresh root: gwe as a process, from source or as the executable. */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TestPlatform } from './platform.ts';
import { removeRoot } from './remove-root.ts';
import { until } from './until.ts';

const REPOSITORY = join(import.meta.dirname, '../..');
export const EXECUTABLE = join(REPOSITORY, 'dist/gwe');
/** gwe from source on the runtime that the tests run on; test/run.mjs has put it into one file, which starts faster. */
export const FROM_SOURCE: readonly string[] = [
  process.execPath,
  '--no-warnings',
  process.env.GWE_TEST_PROGRAM ?? join(REPOSITORY, 'src/main.ts'),
];

export interface GatewayOptions {
  command?: readonly string[];
  product?: string;
  serial?: string;
  /** Where its root is made; the machine's directory for temporary files by default. */
  directory?: string;
  env?: Readonly<Record<string, string>>;
  /** Lines of Engine.config besides the interval of 1 s and a short settle time. */
  settings?: Readonly<Record<string, string | number>>;
}

export interface CommandResult {
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface Gateway {
  root: string;
  product: string;
  serial: string;
  /** Runs gwe with `args` on this root and waits for its end. */
  gwe(...args: string[]): CommandResult;
  /** Starts the agent; `stop` or `kill` end it. */
  start(): void;
  stop(): Promise<number | null>;
  kill(): Promise<void>;
  isRunning(): boolean;
  /** Of the agent, while it runs. */
  pid(): number;
  /** Everything that the agent has logged since it was first started. */
  log(): string;
  /** The name of the active version directory of `app`. */
  active(app: string): string | undefined;
  versions(app: string): string[];
  /** Sends an `engine_fetch` and waits until a `fetch_status` about it is there: the parsed report. */
  command(platform: TestPlatform, text: string, deadlineMs?: number): Promise<Record<string, unknown>>;
  remove(): Promise<void>;
}

/** Configured and known to the platform; not started. */
export async function createGateway(platform: TestPlatform, options: GatewayOptions = {}): Promise<Gateway> {
  const { command = FROM_SOURCE, product = 'p1', serial = 'gw-1' } = options;
  const root = mkdtempSync(join(options.directory ?? tmpdir(), 'gwe-gateway-'));
  const env = { PATH: process.env.PATH ?? '', HOME: root, GWE_ROOT: root, ...options.env };
  const [program = '', ...first] = command;
  let agent: ChildProcess | undefined;
  let log = '';
  const gwe = (...args: string[]): CommandResult => {
    const { status, stdout, stderr } = spawnSync(program, [...first, ...args], {
      env,
      encoding: 'utf8',
      timeout: 60_000,
    });
    return { status, stdout, stderr };
  };
  await platform.addDevice(product, serial);
  // Not by spawnSync: the platform of another test may live in this process and must go on answering.
  const setUp = ['-P', product, '-u', serial, '-t', '1', '-l', '1', '--set-platform-url', platform.url];
  await promisify(execFile)(program, [...first, ...setUp], { env });
  appendSettings(root, { settle_time: 1, start_deadline: 20, http_timeout: 5, ...options.settings });
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    if (agent === undefined) return null;
    const child = agent;
    agent = undefined;
    // Something else may have ended it.
    if (child.signalCode !== null) return null;
    const exited = new Promise<number | null>((resolve) => child.once('close', (status) => resolve(status)));
    child.kill(signal);
    return child.exitCode ?? (await exited);
  };
  const versions = (app: string): string[] => {
    const directory = join(root, 'opt/gwe/apps', app);
    return existsSync(directory)
      ? readdirSync(directory)
          .filter((name) => name !== 'current')
          .sort()
      : [];
  };
  return {
    root,
    product,
    serial,
    gwe,
    start() {
      agent = spawn(program, first, { env, stdio: ['ignore', 'ignore', 'pipe'] });
      agent.stderr?.on('data', (chunk: Buffer) => {
        log += chunk.toString('utf8');
      });
    },
    stop: () => end('SIGTERM'),
    kill: async () => void (await end('SIGKILL')),
    pid: () => agent?.pid ?? -1,
    isRunning: () => agent !== undefined && agent.exitCode === null && agent.signalCode === null,
    log: () => log,
    versions,
    active(app) {
      const link = join(root, 'opt/gwe/apps', app, 'current');
      return existsSync(link) ? readlinkSync(link) : undefined;
    },
    async command(on, text, deadlineMs = 90_000) {
      const before = (await on.history(product, serial, 'fetch_status')).length;
      await on.write(product, serial, 'engine_fetch', text);
      let report: string | undefined;
      await until(async () => {
        const history = await on.history(product, serial, 'fetch_status');
        report = history.length > before ? history[0]?.value : undefined;
        return report !== undefined;
      }, deadlineMs).catch(() => {
        throw new Error(`no fetch_status within ${deadlineMs} ms; the log:\n${log}`);
      });
      return JSON.parse(report ?? '{}') as Record<string, unknown>;
    },
    async remove() {
      await end('SIGKILL');
      removeRoot(root);
    },
  };
}

function appendSettings(root: string, settings: Readonly<Record<string, string | number>>): void {
  const path = join(root, 'etc/gwe/Engine.config');
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}`);
  const text = readFileSync(path, 'utf8').trimEnd();
  writeFileSync(path, `${text}\n${lines.join('\n')}\n`);
}
