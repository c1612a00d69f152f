/** An S3 store of a test's own: OpenStack Swift on one node, on free ports of this machine. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createSystemClock } from '../../src/base/clock.ts';
import { createS3Client, type S3Target } from '../../src/platform/storage/objects/s3-client.ts';

export interface TestObjectStore {
  /** Of a bucket of its own, empty. */
  freshBucket(): Promise<S3Target>;
  /** Ends the store at once, as a crash would. */
  kill(): Promise<void>;
  /** Starts it again on the same data. */
  start(): Promise<void>;
  end(): Promise<void>;
}

const USER = { keyId: 'gwe:admin', secretKey: 'secret' };
const SERVERS = ['account', 'container', 'object', 'proxy'] as const;

/** The option of `gwe platform serve` for a bucket; the keys are in `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. */
export function objectsOption({ bucket, prefix, endpoint, region }: S3Target): string {
  const path = prefix === '' ? '' : `/${prefix.slice(0, -1)}`;
  return `s3://${bucket}${path}?endpoint=${endpoint}&region=${region}`;
}

export async function startObjectStore(): Promise<TestObjectStore> {
  const home = mkdtempSync(join(tmpdir(), 'gwe-swift-'));
  const ports = await freePorts(SERVERS.length + 1);
  writeSettings(home, ports);
  const clock = createSystemClock();
  const endpoint = `http://127.0.0.1:${ports[3]}`;
  let running: ChildProcess[] = [];
  const kill = async (): Promise<void> => {
    const ended = running.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    const exits = ended.map((child) => once(child, 'exit'));
    for (const child of ended) child.kill('SIGKILL');
    await Promise.all(exits);
    running = [];
  };
  const start = async (): Promise<void> => {
    running = startServers(home, ports);
    await Promise.all(ports.map((port) => accepting(port, running, join(home, 'log'))));
  };
  try {
    await start();
  } catch (error) {
    await kill();
    throw error;
  }
  let buckets = 0;
  return {
    kill,
    start,
    async freshBucket() {
      const target = { bucket: `gwe${buckets++}`, prefix: '', endpoint, region: 'us-east-1', ...USER };
      const client = createS3Client(target, clock);
      await client.ask({ method: 'PUT', key: '' });
      client.close();
      return target;
    },
    async end() {
      await kill();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

function startServers(home: string, ports: readonly number[]): ChildProcess[] {
  const env = { ...process.env, SWIFT_CONF_FILE: join(home, 'swift.conf'), SWIFT_DIR: home };
  const run = (program: string, args: string[]): ChildProcess => {
    const out = openSync(join(home, 'log'), 'a');
    const child = spawn(program, args, { cwd: home, env, stdio: ['ignore', out, out] });
    closeSync(out);
    return child;
  };
  const asNobody = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
  const memcached = [...asNobody, '-l', '127.0.0.1', '-p', String(ports[4]), '-m', '16', '-U', '0'];
  return [
    run('memcached', memcached),
    ...SERVERS.map((name) => run(`swift-${name}-server`, [join(home, `${name}.conf`)])),
  ];
}

/** What swift-ring-builder does, which would be started nine times; by the Python of Debian, which has it. Arguments: `NAME PORT`. */
const RINGS = `
import sys
from swift.common.ring import RingBuilder
for name, port in (each.split() for each in sys.argv[1:]):
    builder = RingBuilder(4, 1, 0)
    builder.add_dev({'region': 1, 'zone': 1, 'ip': '127.0.0.1', 'port': int(port), 'device': 'd1', 'weight': 1,
                     'replication_ip': '127.0.0.1', 'replication_port': int(port), 'meta': ''})
    builder.rebalance()
    builder.get_ring().save(name + '.ring.gz')
`;

/** On a busy machine a server that is slow is not away. */
const PATIENCE = 'conn_timeout = 60\nnode_timeout = 60\nrecoverable_node_timeout = 60';

/** One copy of everything, without checks of mounts and without a log of its own. */
function writeSettings(home: string, ports: readonly number[]): void {
  mkdirSync(join(home, 'srv', 'd1'), { recursive: true });
  const write = (name: string, text: string): void => writeFileSync(join(home, name), text);
  write(
    'swift.conf',
    `[swift-hash]\nswift_hash_path_prefix = gwe\nswift_hash_path_suffix = test\n
[storage-policy:0]\nname = Policy-0\ndefault = yes\n[swift-constraints]\nmax_header_size = 16384\n`,
  );
  const common = (port = 0): string => `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = ${port}
user = ${userInfo().username}
swift_dir = ${home}
devices = ${join(home, 'srv')}
mount_check = false
workers = 0
log_level = WARNING
log_address = /dev/null
fallocate_reserve = 0
`;
  for (const [index, name] of SERVERS.entries()) {
    if (name === 'proxy') continue;
    write(
      `${name}.conf`,
      `${common(ports[index])}[pipeline:main]\npipeline = ${name}-server\n[app:${name}-server]\nuse = egg:swift#${name}\n${PATIENCE}\n`,
    );
  }
  execFileSync(
    '/usr/bin/python3',
    ['-c', RINGS, ...SERVERS.slice(0, 3).map((name, index) => `${name} ${ports[index]}`)],
    {
      cwd: home,
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  write('proxy.conf', common(ports[3]) + proxySettings(ports[4] ?? 0));
}

function proxySettings(memcachedPort: number): string {
  const filters: Record<string, string> = {
    catch_errors: 'catch_errors',
    gatekeeper: 'gatekeeper',
    cache: `memcache\nmemcache_servers = 127.0.0.1:${memcachedPort}`,
    listing_formats: 'listing_formats',
    s3api:
      's3api\ns3_acl = false\nallow_no_owner = true\nlocation = us-east-1\nallow_multipart_uploads = true\nmin_segment_size = 1',
    tempauth: 'tempauth\nuser_gwe_admin = secret .admin',
    bulk: 'bulk',
    slo: 'slo',
    dlo: 'dlo',
    versioned_writes: 'versioned_writes\nallow_versioned_writes = true',
  };
  const sections = Object.entries(filters).map(([name, use]) => `[filter:${name}]\nuse = egg:swift#${use}\n`);
  return `[pipeline:main]
pipeline = ${Object.keys(filters).join(' ')} proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
${PATIENCE}
error_suppression_limit = 1000000
${sections.join('')}`;
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => net.createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  return servers.map((server) => {
    const address = server.address();
    server.close();
    assert.ok(typeof address === 'object' && address !== null);
    return address.port;
  });
}

async function accepting(port: number, servers: readonly ChildProcess[], log: string): Promise<void> {
  const deadline = performance.now() + 240_000;
  for (;;) {
    const socket = net.connect(port, '127.0.0.1');
    const isThere = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isThere) return;
    const isOver = performance.now() > deadline || servers.some(({ exitCode }) => exitCode !== null);
    assert.ok(
      !isOver,
      `the object store does not listen on ${port}: ${readFileSync(log, 'utf8').slice(-2000)}`,
    );
    await delay(100);
  }
}
