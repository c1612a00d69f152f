/** What the bench of a fleet is made of: a platform with many gateways, the load on it, and what that costs it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createSystemClock } from '../../../src/base/clock.ts';
import { openSqliteStorage } from '../../../src/platform/storage/sqlite/sqlite-storage.ts';
import { makeCertificates } from '../../helpers/certificates.ts';
import { EXECUTABLE } from '../../helpers/gateway.ts';
import { compileSlowSync } from '../slow-disk.ts';

const TICK_S = 0.01;
export const PRODUCT = 'bench';

export interface Fleet {
  directory: string;
  /** One key a line. */
  keyFile: string;
}

/** A platform's directory with `count` activated gateways. */
export async function makeFleet(scratch: string, count: number): Promise<Fleet> {
  const directory = join(scratch, `of-${count}`);
  mkdirSync(directory, { mode: 0o700 });
  await (await openSqliteStorage({ directory, clock: createSystemClock() })).close();
  const database = new DatabaseSync(join(directory, 'platform.db'));
  const insert = database.prepare(
    `INSERT INTO device (product, serial, rid, state, enabled_at, key_hash, vendor) VALUES (?, ?, ?, 'activated', 1, ?, ?)`,
  );
  database.exec('BEGIN');
  database.prepare('INSERT INTO product (name) VALUES (?)').run(PRODUCT);
  const keys = Array.from({ length: count }, (_, n) => {
    const key = randomBytes(20).toString('hex');
    const hash = createHash('sha256').update(key).digest('hex');
    insert.run(PRODUCT, `gw-${String(n).padStart(7, '0')}`, randomBytes(20).toString('hex'), hash, PRODUCT);
    return key;
  });
  database.exec('COMMIT');
  database.close();
  const keyFile = join(scratch, `keys-${count}`);
  writeFileSync(keyFile, `${keys.join('\n')}\n`);
  return { directory, keyFile };
}

export interface Served {
  url: string;
  port: number;
  token: string;
  /** Seconds of the CPU since it started. */
  cpuSeconds(): number;
  residentBytes(): number;
  end(): Promise<void>;
}

interface Serving {
  isTls?: boolean;
  /** What is preloaded. */
  env?: Record<string, string>;
  /** Further options. */
  words?: readonly string[];
}

/** The executable on that directory. */
export async function serve(
  fleet: Fleet,
  { isTls = false, env = {}, words = [] }: Serving = {},
): Promise<Served> {
  const { serverCert, serverKey } = makeCertificates(fleet.directory);
  const file = (name: string, text: string | Buffer): string => {
    writeFileSync(join(fleet.directory, name), text);
    return join(fleet.directory, name);
  };
  const tls = ['--tls-cert', file('cert.pem', serverCert), '--tls-key', file('key.pem', serverKey)];
  const args = [
    'platform',
    'serve',
    '--data',
    fleet.directory,
    '--listen',
    '127.0.0.1:0',
    '--log-level',
    'warn',
  ];
  // It notes in the home of its user where it is.
  const all = { ...process.env, HOME: fleet.directory, XDG_STATE_HOME: fleet.directory, ...env };
  return measured(EXECUTABLE, [...args, ...words, ...(isTls ? tls : [])], all, fleet.directory);
}

/** A program that prints its URL when it listens. */
export async function measured(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  directory: string,
): Promise<Served> {
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'ignore'] });
  const url = await firstUrl(child);
  const statOf = (path: string): string => readFileSync(`/proc/${child.pid}/${path}`, 'utf8');
  return {
    url,
    port: Number(new URL(url).port),
    get token() {
      return readFileSync(join(directory, 'admin-token'), 'utf8').trim();
    },
    cpuSeconds() {
      const fields = statOf('stat')
        .replace(/^.*\) /, '')
        .split(' ');
      return (Number(fields[11]) + Number(fields[12])) * TICK_S;
    },
    residentBytes: () => Number(/VmRSS:\s+(\d+)/.exec(statOf('status'))?.[1] ?? 0) * 1024,
    async end() {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

function firstUrl(child: ChildProcess): Promise<string> {
  let printed = '';
  return new Promise((resolve, reject) => {
    child.once('exit', () => reject(new Error(`it ended: ${printed}`)));
    child.stdout?.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
      const url = /(https?:\/\/\S+)\n/.exec(printed)?.[1];
      if (url !== undefined) resolve(url);
    });
  });
}

interface LoadResult {
  done: number;
  failed: number;
  seconds: number;
  /** Milliseconds. */
  p50: number;
  p99: number;
  most: number;
}

/** Compiles the load and what slows syncs down into `scratch`. */
export function compileLoad(scratch: string): { load: string; slowSync: string } {
  const source = (name: string): string => join(import.meta.dirname, name);
  const load = join(scratch, 'load');
  execFileSync('gcc', ['-O2', '-o', load, source('load.c'), '-lssl', '-lcrypto']);
  return { load, slowSync: compileSlowSync(scratch) };
}

/** Runs the load to its end. */
export async function drive(load: string, args: readonly (string | number)[]): Promise<LoadResult> {
  const child = spawn(load, args.map(String), { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  for await (const chunk of child.stdout) text += String(chunk);
  return JSON.parse(text);
}
