/**
 * The attacks of the TUF specification (§1.5.2) and of Uptane that apply to a gateway, one test each, by a platform in
 * the attacker's hands against a gateway that trusts keys. A name with "not stopped" is what the design leaves open.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { ArtifactFacts } from '../../../src/artifact/manifest/manifest.ts';
import type { KeyPair } from '../../../src/artifact/manifest/signature.ts';
import { createSystemClock } from '../../../src/base/clock.ts';
import { GweError } from '../../../src/base/errors.ts';
import { createDataApi } from '../../../src/protocol/data.ts';
import { createTransport } from '../../../src/protocol/transport.ts';
import { createGateway, type Gateway } from '../../helpers/gateway.ts';
import { makeIndexed, newKey } from '../../helpers/indexed.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { startRawServer } from '../../helpers/raw-server.ts';
import { installCommand, sendCommand } from '../../helpers/reports.ts';
import { makeTarball } from '../../helpers/tarball.ts';

const [alice, bob, mallory] = [newKey(), newKey(), newKey()];

describe('a stolen platform', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  let marker = '';

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform, { settings: { require_signatures: 2 } });
    marker = join(gateway.root, 'ran');
    const keys = join(gateway.root, 'etc/gwe/keys.d');
    mkdirSync(keys, { recursive: true });
    writeFileSync(join(keys, 'alice.pub'), alice.publicKey);
    writeFileSync(join(keys, 'bob.pub'), bob.publicKey);
    gateway.start();
  });
  after(async () => {
    await gateway.remove();
    await platform.close();
  });

  const files = () => ({
    'install.sh': { content: `#!/bin/sh\necho "$GWE_APP_NAME $GWE_APP_VERSION" >> ${marker}\n`, mode: 0o755 },
  });
  const signed = (facts: ArtifactFacts, by: KeyPair[] = [alice, bob]): Promise<Buffer> =>
    makeIndexed(facts, files(), by);
  const ran = (): string => (existsSync(marker) ? readFileSync(marker, 'utf8') : '');

  async function send(id: string, tarball: Buffer): Promise<Record<string, unknown>> {
    rmSync(marker, { force: true });
    await platform.putContent('p1', id, tarball);
    const [report] = await sendCommand(platform, gateway, installCommand(id));
    return report ?? {};
  }
  async function assertRefused(id: string, tarball: Buffer, code: string): Promise<void> {
    const report = await send(id, tarball);
    assert.deepEqual([report.outcome, report.code], ['rejected', code], JSON.stringify(report));
    assert.equal(ran(), '', 'nothing of it has run');
  }
  async function assertInstalled(id: string, tarball: Buffer): Promise<void> {
    const report = await send(id, tarball);
    assert.equal(report.outcome, 'installed', JSON.stringify(report));
    assert.notEqual(ran(), '');
  }

  test('arbitrary software installation', async () => {
    await assertRefused('one.v1.tar.gz', makeTarball(files()), 'ARTIFACT_UNTRUSTED');
    const strange = await signed({ name: 'one', version: '1' }, [mallory, newKey()]);
    await assertRefused('one.v1.tar.gz', strange, 'ARTIFACT_UNTRUSTED');
  });

  test('vulnerability to key compromises: one stolen key of two that are required', async () => {
    const half = await signed({ name: 'one', version: '1' }, [alice, mallory]);
    await assertRefused('one.v1.tar.gz', half, 'ARTIFACT_UNTRUSTED');
  });

  test('wrong software installation: of another app, of another CPU', async () => {
    const other = await signed({ name: 'other', version: '1' });
    await assertRefused('one.v1.tar.gz', other, 'ARTIFACT_UNSUITABLE');
    const foreign = await signed({ name: 'one', version: '1', architectures: ['z80'] });
    await assertRefused('one.v1.tar.gz', foreign, 'ARTIFACT_UNSUITABLE');
  });

  test('rollback attack', async () => {
    await assertInstalled('one.v2.tar.gz', await signed({ name: 'one', version: '2', release: 2 }));
    await assertRefused(
      'one.v1.tar.gz',
      await signed({ name: 'one', version: '1', release: 1 }),
      'ARTIFACT_STALE',
    );
  });

  test('fast-forward attack: a release number that nobody trusted has signed blocks no later release', async () => {
    const far = await signed({ name: 'one', version: '9', release: 2 ** 40 }, [mallory]);
    await assertRefused('one.v9.tar.gz', far, 'ARTIFACT_UNTRUSTED');
    await assertInstalled('one.v3.tar.gz', await signed({ name: 'one', version: '3', release: 3 }));
  });

  test('freeze attack: what has expired is not installed', async () => {
    const old = await signed({ name: 'frozen', version: '1', expires: 1_000_000_000 });
    await assertRefused('frozen.v1.tar.gz', old, 'ARTIFACT_STALE');
  });

  test('freeze attack, not stopped: a platform that keeps a command back is not noticed', async () => {
    const before = gateway.active('one');
    await platform.putContent('p1', 'one.v4.tar.gz', await signed({ name: 'one', version: '4', release: 4 }));
    await assertInstalled('calm.v1.tar.gz', await signed({ name: 'calm', version: '1' }));
    assert.equal(gateway.active('one'), before, 'gwe knows of no version but by a command');
  });

  test('mix-and-match attack: a good tarball under the name of another', async () => {
    const good = await signed({ name: 'two', version: '1' });
    await assertRefused('two.v2.tar.gz', good, 'ARTIFACT_UNSUITABLE');
  });

  test('mix-and-match and mixed bundles, not stopped: apps that were never released together', async () => {
    await assertInstalled('left.v1.tar.gz', await signed({ name: 'left', version: '1' }));
    await assertInstalled('right.v2.tar.gz', await signed({ name: 'right', version: '2' }));
  });

  test('partial bundle installation, not stopped: each entry of a command stands alone, and is reported', async () => {
    await platform.putContent('p1', 'good.v1.tar.gz', await signed({ name: 'good', version: '1' }));
    await platform.putContent(
      'p1',
      'evil.v1.tar.gz',
      await signed({ name: 'evil', version: '1' }, [mallory]),
    );
    const command = installCommand('evil.v1.tar.gz', 'good.v1.tar.gz');
    const reports = await sendCommand(platform, gateway, command, 2);
    assert.deepEqual(
      reports.map(({ name, outcome }) => [name, outcome]),
      [
        ['evil', 'rejected'],
        ['good', 'installed'],
      ],
    );
  });

  test('endless data attack: a bomb that nobody trusted has signed is not even unpacked', async () => {
    const zeros = { content: Buffer.alloc(80 * 1024 * 1024) };
    const bomb = makeTarball({ ...files(), zeros });
    await assertRefused('bomb.v1.tar.gz', bomb, 'ARTIFACT_UNTRUSTED');
  });

  test('endless data attack: a bomb that trusted keys have signed ends at the limits', async () => {
    const zeros = { content: Buffer.alloc(80 * 1024 * 1024) };
    const bomb = await makeIndexed({ name: 'bomb', version: '2' }, { ...files(), zeros }, [alice, bob]);
    await assertRefused('bomb.v2.tar.gz', bomb, 'ARTIFACT_LIMIT');
  });
});

/** A check-in against a server that answers like that. */
async function read(answer: (write: (bytes: Buffer | string) => boolean) => void): Promise<unknown> {
  const server = await startRawServer((socket) =>
    answer((bytes) => !socket.destroyed && socket.write(bytes)),
  );
  const clock = createSystemClock();
  const settings = { baseUrl: server.url, userAgent: 't', timeoutMs: 50, allowInsecureHttp: false, env: {} };
  const transport = createTransport(settings, { clock });
  try {
    const data = createDataApi(transport, () => 'k', { clock, maxReplyBytes: 100_000 });
    return await data.readAliases(['engine_fetch']).catch((error: unknown) => error);
  } finally {
    transport.close();
    await server.close();
  }
}

test('endless data attack: an answer that never ends is cut off at the limit', async () => {
  const error = await read((write) => {
    write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`;
    const pour = (): void => {
      if (write(chunk)) setImmediate(pour);
      else setTimeout(() => write('') && pour(), 1);
    };
    pour();
  });
  assert.ok(error instanceof GweError && error.code === 'PROTOCOL_TOO_LARGE', String(error));
});

test('slow retrieval attack: an answer that drips is given up, although no pause in it is long', async () => {
  const startMs = performance.now();
  let timer: NodeJS.Timeout | undefined;
  const error = await read((write) => {
    write('HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n');
    timer = setInterval(() => write('x'), 20);
  });
  clearInterval(timer);
  assert.ok(error instanceof GweError && error.code === 'PROTOCOL_OFFLINE', String(error));
  assert.ok(performance.now() - startMs < 60_000);
});
