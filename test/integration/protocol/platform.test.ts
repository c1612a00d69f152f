/** The client against the embedded platform, over TLS and over a line that keeps breaking. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import type { Logger } from '../../../src/base/log.ts';
import { downloadContent } from '../../../src/protocol/content.ts';
import { contentInfo, createContentApi, listContent } from '../../../src/protocol/content-api.ts';
import { createDataApi } from '../../../src/protocol/data.ts';
import { verifyFileDigest } from '../../../src/protocol/digest.ts';
import { provision } from '../../../src/protocol/provision.ts';
import { createTransport } from '../../../src/protocol/transport.ts';
import type { Traffic } from '../../../src/protocol/transport-types.ts';
import { startPlatform } from '../../helpers/platform.ts';

const directory = fs.mkdtempSync(join(tmpdir(), 'gwe-client-'));
after(() => fs.rmSync(directory, { recursive: true }));
const clock = createSystemClock();
const quiet = (): void => undefined;
const log: Logger = { debug: quiet, info: quiet, warn: quiet, error: quiet, with: () => log };

/** Passes on to `port`, and breaks each connection after `limitBytes` of answer. */
async function startBreakingRelay(port: number, limitBytes: number): Promise<string> {
  const relay = net.createServer((near) => {
    const far = net.connect(port, '127.0.0.1');
    let left = limitBytes;
    near.on('error', quiet).on('close', () => far.destroy());
    far.on('error', quiet).on('close', () => near.destroy());
    near.pipe(far);
    far.on('data', (chunk) => {
      near.write(chunk.subarray(0, left));
      left -= chunk.length;
      if (left <= 0) near.resetAndDestroy();
    });
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  after(() => void relay.close());
  const address = relay.address();
  assert.ok(typeof address === 'object' && address !== null);
  return `https://127.0.0.1:${address.port}`;
}

test('a device activates, exchanges values and downloads over a line that keeps breaking, all by TLS', async () => {
  const platform = await startPlatform({ tls: true });
  after(() => platform.close());
  assert.ok(platform.caFile !== undefined);
  await platform.addDevice('P', 'sn 1&2');
  const bytes = randomBytes(900_000);
  await platform.putContent('P', 'a.v1.tar.gz', bytes);
  const traffic: Traffic[] = [];
  const connect = (baseUrl: string) =>
    createTransport(
      {
        baseUrl,
        userAgent: 't',
        timeoutMs: 5000,
        allowInsecureHttp: false,
        env: {},
        caFile: platform.caFile ?? '',
      },
      { clock, onTraffic: (one) => traffic.push(one) },
    );
  const transport = connect(platform.url);
  const identity = { vendor: 'P', model: 'P', serial: 'sn 1&2', style: 'triple' } as const;
  const result = await provision(transport, identity, { clock });
  assert.ok(result.kind === 'provisioned');
  assert.equal((await provision(transport, identity, { clock })).kind, 'refused');

  const data = createDataApi(transport, () => result.cik, { clock });
  await platform.write('P', 'sn 1&2', 'engine_fetch', '{"a": "+%&=é"}');
  const { values } = await data.exchange([['device_info', 'x=1&y=ü']], ['engine_fetch', 'update_interval']);
  assert.deepEqual([...values], [['engine_fetch', '{"a": "+%&=é"}']]);
  assert.equal(await platform.read('P', 'sn 1&2', 'device_info'), 'x=1&y=ü');

  const line = connect(await startBreakingRelay(Number(new URL(platform.url).port), 200_000));
  const content = createContentApi({ transport: line, cik: () => result.cik, product: identity, clock });
  assert.deepEqual(await listContent(content), ['a.v1.tar.gz']);
  const expected = await contentInfo(content, 'a.v1.tar.gz');
  assert.ok(expected?.digest !== undefined);
  const partialFile = join(directory, 'part');
  const retries = { tries: 3, firstPauseMs: 1, longestPauseMs: 1 };
  traffic.length = 0;
  const fetched = await downloadContent(content, {
    id: 'a.v1.tar.gz',
    partialFile,
    expected,
    maxBytes: 1e6,
    retries,
    log,
  });
  await verifyFileDigest(partialFile, expected.digest);
  assert.equal(createHash('sha256').update(fs.readFileSync(partialFile)).digest('hex'), expected.digest.hex);
  assert.equal(fetched.bytesFetched, bytes.length);
  assert.ok(traffic.length >= 5, `${traffic.length} connections`);
  const rxBytes = traffic.reduce((sum, one) => sum + one.rxBytes, 0);
  assert.ok(rxBytes < bytes.length * 1.1, `${rxBytes} bytes on the wire for ${bytes.length}`);
});
