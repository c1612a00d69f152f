/** What a check-in with nothing to say costs on the wire: payload of TCP, TLS included, counted outside of gwe. */
import assert from 'node:assert/strict';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createSystemClock } from '../../src/base/clock.ts';
import { createTransport } from '../../src/protocol/transport.ts';
import { type ByteProxy, type ProxiedConnection, startByteProxy } from '../helpers/byte-proxy.ts';
import { makeCertificates } from '../helpers/certificates.ts';
import { createGateway, type Gateway } from '../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { httpAnswer, startRawServer } from '../helpers/raw-server.ts';
import { until } from '../helpers/until.ts';

const MOST_BYTES = 1800;

function bytesOf({ upBytes, downBytes }: ProxiedConnection): number {
  return upBytes + downBytes;
}

describe('a check-in with nothing to say', () => {
  let platform: TestPlatform;
  let proxy: ByteProxy;
  let gateway: Gateway;
  const memory = mkdtempSync('/dev/shm/gwe-wire-');

  const idle = (): number => gateway.log().match(/checkin\.done reports=none/g)?.length ?? 0;
  const checkIns = (): number => gateway.log().match(/checkin\.done/g)?.length ?? 0;
  const requests = (): number => {
    const text = readFileSync(join(gateway.root, 'run/gwe/status.json'), 'utf8');
    const { traffic } = JSON.parse(text) as { traffic: Record<string, { requests: number }> };
    return Object.values(traffic).reduce((total, each) => total + each.requests, 0);
  };
  /**
   * The connections of `count` check-ins in a row that sent nothing, and what `look` saw before and after them. A report
   * that becomes due meanwhile (the machine's disk or network has changed) starts it over.
   */
  const untilIdle = async <T>(count: number, look: () => T) => {
    for (;;) {
      await until(() => /checkin\.done reports=none\n$/.test(gateway.log()));
      const [first, quiet, all] = [proxy.connections.length, idle(), checkIns()];
      const before = look();
      await until(
        () => checkIns() >= all + count && proxy.connections.every(({ isOpen }) => !isOpen),
        30_000,
      );
      const found = { before, after: look(), connections: proxy.connections.slice(first, first + count) };
      if (idle() - quiet === checkIns() - all) return found;
    }
  };

  before(async () => {
    platform = await startPlatform({ tls: true });
    proxy = await startByteProxy(platform.url);
    gateway = await createGateway(
      { ...platform, url: proxy.url },
      { settings: { ca_file: platform.caFile ?? '' } },
    );
    // As on a gateway: memory.
    symlinkSync(memory, join(gateway.root, 'run'));
    gateway.start();
  });
  after(async () => {
    await gateway.remove();
    rmSync(memory, { recursive: true });
    await proxy.close();
    await platform.close();
  });

  test('is one request on one connection of at most 1.8 KB, both ways together', async (t) => {
    const { before, after, connections } = await untilIdle(4, () => [requests(), proxy.connections.length]);
    const [more = 0, links = 0] = after.map((count, at) => count - (before[at] ?? 0));
    assert.ok(Math.abs(more - links) <= 1, `${more} requests on ${links} connections`);
    for (const one of connections) {
      t.diagnostic(`${one.upBytes} bytes up, ${one.downBytes} bytes down`);
      assert.ok(bytesOf(one) <= MOST_BYTES, `${bytesOf(one)} bytes`);
    }
  });

  test('costs no more after a restart: the TLS ticket is kept', async (t) => {
    const full = proxy.connections[0];
    assert.ok(full !== undefined);
    await gateway.stop();
    const before = proxy.connections.length;
    gateway.start();
    const lines = (): number =>
      gateway
        .log()
        .split('agent.start')[2]
        ?.match(/checkin\.done/g)?.length ?? 0;
    await until(() => lines() >= 1);
    const first = proxy.connections[before];
    assert.ok(first !== undefined);
    t.diagnostic(`down: ${full.downBytes} bytes at the very first time, ${first.downBytes} after a restart`);
    // A report may have changed meanwhile, so what goes up is no measure; a certificate would come down.
    assert.ok(first.downBytes < full.downBytes / 2, `${first.downBytes} bytes`);
  });

  test('writes nothing outside run/gwe, and no byte to a disk', async () => {
    const lock = readFileSync(join(gateway.root, 'run/gwe/agent.lock'), 'utf8');
    const { pid } = JSON.parse(lock) as { pid: number };
    const { before, after } = await untilIdle(3, () => ({
      files: filesOutsideRun(gateway.root),
      written: writtenBytes(pid),
    }));
    assert.deepEqual(after, before);
    assert.ok(before.files.length > 3);
  });
});

/** What the process has had written to disks so far (proc(5), /proc/PID/io). */
function writtenBytes(pid: number): number {
  const written = /^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1];
  assert.ok(written !== undefined);
  return Number(written);
}

/** Every file and directory of a root but those of run/gwe: name, size, and when it was last written. */
function filesOutsideRun(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => name !== 'run' && !name.startsWith('run/'))
    .map((name) => {
      const { size, mtimeMs } = lstatSync(join(root, name));
      return `${name} ${size} ${mtimeMs}`;
    })
    .sort();
}

test('a server that knows P-256 alone is spoken to as well', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-wire-'));
  const { serverCert, serverKey, caFile } = makeCertificates(directory);
  const server = await startRawServer((socket) => socket.end(httpAnswer('200 OK', 'hello')), {
    cert: serverCert,
    key: serverKey,
    ecdhCurve: 'P-256',
  });
  const clock = createSystemClock();
  const settings = {
    baseUrl: server.url,
    userAgent: 't',
    timeoutMs: 2000,
    allowInsecureHttp: false,
    env: {},
  };
  const transport = createTransport({ ...settings, caFile }, { clock });
  after(async () => {
    transport.close();
    await server.close();
    rmSync(directory, { recursive: true });
  });
  const request = { method: 'GET', path: '/', purpose: 'read', maxBytes: 100 } as const;
  assert.equal((await transport.request(request)).body.toString(), 'hello');
});
