/** A PostgreSQL server of a test's own: a fresh cluster on a free port of this machine. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, globSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { makeCertificates } from './certificates.ts';
import { until } from './until.ts';

export interface TestPostgres {
  /** Of a database of its own, empty. */
  freshUrl(): string;
  /** The same for a user who has to prove a password, over TLS with a certificate of the CA in `caFile`. */
  guarded(): { url: string; password: string; caFile: string };
  /** SIGKILLs every process of the server at once, and starts it again on the same data. */
  crash(): Promise<void>;
  /** Resolves when nobody under this `application_name` is connected any more. */
  noSession(name: string): Promise<void>;
  end(): Promise<void>;
}

/** The server refuses to run as root: then it is Debian's user for it. */
function unprivileged(command: string[]): [string, string[]] {
  const asOther = ['--reuid=postgres', '--regid=postgres', '--clear-groups', ...command];
  const [program = '', ...args] = command;
  return process.getuid?.() === 0 ? ['setpriv', asOther] : [program, args];
}

export async function startPostgres(): Promise<TestPostgres> {
  const [initdb] = globSync('/usr/lib/postgresql/*/bin/initdb').sort().reverse();
  assert.ok(initdb !== undefined, "no PostgreSQL here: 'make database' installs it");
  const home = mkdtempSync(join(tmpdir(), 'gwe-postgres-'));
  if (process.getuid?.() === 0) {
    const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
    chownSync(home, id('-u'), id('-g'));
  }
  const run = (...command: string[]): void => {
    execFileSync(...unprivileged(command), { cwd: home, stdio: ['ignore', 'ignore', 'pipe'] });
  };
  const data = join(home, 'data');
  run(initdb, '-D', data, '-U', 'gwe', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync');
  const { caFile, settings: tls } = guard(home, data);
  const port = await freePort();
  const bin = dirname(initdb);
  const settings = [`port=${port}`, 'listen_addresses=127.0.0.1', `unix_socket_directories=${home}`, ...tls];
  const start = async (): Promise<ChildProcess> => {
    const args = [join(bin, 'postgres'), '-D', data, ...settings.flatMap((one) => ['-c', one])];
    const child = spawn(...unprivileged(args), { cwd: home, stdio: 'ignore' });
    await accepting(port);
    return child;
  };
  let server = await start();
  const ask = (sql: string): string => {
    const args = ['-h', '127.0.0.1', '-p', String(port), '-U', 'gwe', '-d', 'postgres', '-Atc', sql];
    return execFileSync(join(bin, 'psql'), args, { encoding: 'utf8' }).trim();
  };
  let databases = 0;
  return {
    freshUrl() {
      const name = `gwe${databases++}`;
      run(join(bin, 'createdb'), '-h', '127.0.0.1', '-p', String(port), '-U', 'gwe', name);
      return `postgres://gwe@127.0.0.1:${port}/${name}`;
    },
    guarded() {
      const [name, password] = [`guarded${databases++}`, `%@/:'${randomBytes(9).toString('base64')}`];
      ask(`CREATE ROLE ${name} LOGIN PASSWORD '${password.replace("'", "''")}'`);
      ask(`CREATE DATABASE ${name} OWNER ${name}`);
      return { url: `postgres://${name}@localhost:${port}/${name}`, password, caFile };
    },
    async crash() {
      await killWithChildren(server);
      server = await start();
    },
    async noSession(name) {
      const sql = `SELECT count(*) FROM pg_stat_activity WHERE application_name = '${name}'`;
      await until(() => ask(sql) === '0');
    },
    async end() {
      const ended = once(server, 'exit');
      server.kill('SIGINT');
      await ended;
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** Who is not `gwe` needs TLS and a password. */
function guard(home: string, data: string): { caFile: string; settings: string[] } {
  const { caFile, serverCert, serverKey } = makeCertificates(mkdtempSync(join(home, 'tls-')));
  const { uid, gid } = statSync(data);
  for (const [name, bytes] of [
    ['server.crt', serverCert],
    ['server.key', serverKey],
  ] as const) {
    writeFileSync(join(data, name), bytes, { mode: 0o600 });
    chownSync(join(data, name), uid, gid);
  }
  writeFileSync(
    join(data, 'pg_hba.conf'),
    'local all gwe trust\nhost all gwe 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n',
  );
  return { caFile, settings: ['ssl=on'] };
}

/** Stopped first, so that none of them sees another one end, or begins one. */
async function killWithChildren(server: ChildProcess): Promise<void> {
  const ended = once(server, 'exit');
  server.kill('SIGSTOP');
  await until(() => stateOf(server.pid) === 'T');
  const list = readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8');
  const children = list.trim().split(' ').filter(Boolean).map(Number);
  for (const child of children) process.kill(child, 'SIGSTOP');
  for (const child of [server.pid ?? 0, ...children]) process.kill(child, 'SIGKILL');
  await ended;
  await until(() => children.every((child) => ['', 'Z', 'X'].includes(stateOf(child))));
}

/** `''` where there is no such process. */
function stateOf(pid: number | undefined): string {
  try {
    return /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1] ?? '';
  } catch {
    return '';
  }
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  assert.ok(typeof address === 'object' && address !== null);
  return address.port;
}

/** The server opens its port when it takes connections, and refuses them for a moment while it recovers. */
async function accepting(port: number): Promise<void> {
  const [ready] = globSync('/usr/lib/postgresql/*/bin/pg_isready').sort().reverse();
  const deadline = performance.now() + 60_000;
  for (;;) {
    try {
      execFileSync(ready ?? 'pg_isready', ['-h', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' });
      return;
    } catch {
      assert.ok(performance.now() < deadline, 'PostgreSQL does not take connections within 60 s');
      await delay(100);
    }
  }
}
