/** Every limit of Engine.config is obeyed: just above it is refused, at it there is no complaint. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { sizeByReading } from '../../../../src/agent/preflight/unpacked-size.ts';
import { composeContext } from '../../../../src/agent/run/compose.ts';
import { createSystemClock } from '../../../../src/base/clock.ts';
import { GweError } from '../../../../src/base/errors.ts';
import { createLogger } from '../../../../src/base/log.ts';
import { ENGINE_SETTINGS } from '../../../../src/config/schema.ts';
import { createLayout } from '../../../../src/store/layout.ts';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { makeIndexed } from '../../../helpers/indexed.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { installCommand, sendCommand, waitUntil } from '../../../helpers/reports.ts';
import { gzipTar, paxEntry, rawEntry } from '../../../helpers/tar-bytes.ts';
import { INSTALL_OK, makeTarball, type TarballEntry } from '../../../helpers/tarball.ts';

const tarball = (more: Readonly<Record<string, TarballEntry>>): Buffer =>
  makeTarball({ 'install.sh': INSTALL_OK, ...more });

interface Limit {
  /** Passes with `enough`, is refused with one less. */
  enough: number;
  tarball: Buffer | (() => Promise<Buffer>);
  refusal: RegExp;
}

const LONG_NAME = Buffer.from('n'.repeat(70));
const small = tarball({ data: { content: randomBytes(4000) } });
const sizeOfManyPaths =
  10 + Array.from({ length: 20 }, (_, i) => `${'p'.repeat(60)}${i}`.length).reduce((a, b) => a + b);

const OF_TARBALLS: Readonly<Record<string, Limit>> = {
  max_artifact_bytes: { enough: small.length, tarball: small, refusal: /bytes, expected at most/ },
  max_unpacked_bytes: {
    enough: 512 * 3 + 20_480 + 1024,
    tarball: tarball({ data: { content: Buffer.alloc(20_480) } }),
    refusal: /more bytes unpacked than allowed|make the artifact too large/,
  },
  max_entries: { enough: 3, tarball: tarball({ a: '', b: '' }), refusal: /more than 2 entries/ },
  max_ratio: {
    enough: 1_000,
    tarball: tarball({ zeros: { content: Buffer.alloc(70 * 1024 * 1024) } }),
    refusal: /unpack to more than/,
  },
  max_path_bytes: {
    enough: 70,
    tarball: gzipTar(
      rawEntry({ name: 'install.sh', mode: 0o755 }, INSTALL_OK),
      rawEntry({ name: LONG_NAME }),
    ),
    refusal: /nnnn/,
  },
  max_path_depth: { enough: 4, tarball: tarball({ 'a/b/c/d': '' }), refusal: /'a\/b\/c\/d'/ },
  max_paths_bytes: {
    enough: sizeOfManyPaths,
    tarball: tarball(Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`${'p'.repeat(60)}${i}`, '']))),
    refusal: /all paths together/,
  },
  max_header_bytes: {
    enough: 5011,
    tarball: gzipTar(
      rawEntry({ name: 'install.sh', mode: 0o755 }, INSTALL_OK),
      paxEntry({ comment: 'c'.repeat(4997) }),
      rawEntry({ name: 'f' }),
    ),
    refusal: /an extension header of 5011 bytes/,
  },
  max_manifest_bytes: {
    enough: 8192,
    tarball: () =>
      makeIndexed(
        { name: 'app', version: '1' },
        {
          'install.sh': INSTALL_OK,
          ...Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`f${i}`, ''])),
        },
      ),
    refusal: /manifest/,
  },
};

/** These have tests of their own below. */
const OF_THE_REST = ['max_reply_bytes', 'max_report_bytes', 'max_output_bytes'];
/** Not about how much comes from outside: tries, and times. */
const NO_LIMITS = ['max_supervisor_rpc_attempts', 'max_deferral', 'max_interval'];

test('every setting that is a limit has a test here', () => {
  const keys = Object.values(ENGINE_SETTINGS).map(({ key }) => key);
  const limits = keys.filter((key) => key.startsWith('max_') && !NO_LIMITS.includes(key));
  assert.deepEqual(limits.sort(), [...Object.keys(OF_TARBALLS), ...OF_THE_REST].sort());
});

/** What this setting makes of the tarball: the refusal, or `undefined`. */
async function judge(bytes: Buffer, settings: string): Promise<unknown> {
  const root = mkdtempSync(join(tmpdir(), 'gwe-limits-'));
  try {
    const file = join(root, 'app.v1.tar.gz');
    writeFileSync(file, bytes);
    mkdirSync(join(root, 'etc/gwe'), { recursive: true });
    writeFileSync(join(root, 'etc/gwe/Engine.config'), `[engine]\n${settings}\n`);
    const signal = new AbortController().signal;
    const clock = createSystemClock();
    const log = createLogger({ level: 'error', format: 'text', clock, write: () => undefined });
    const context = composeContext({ layout: createLayout(root), log, env: {}, gweVersion: '2.1.0', signal });
    return await sizeByReading(context, { name: 'app', version: '1' }, file, signal).then(
      () => undefined,
      (error: unknown) => error,
    );
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

for (const [key, limit] of Object.entries(OF_TARBALLS)) {
  test(`${key} is obeyed`, async () => {
    const bytes = Buffer.isBuffer(limit.tarball) ? limit.tarball : await limit.tarball();
    const least = Object.values(ENGINE_SETTINGS).find((spec) => spec.key === key);
    assert.ok(least !== undefined && 'min' in least);
    assert.equal(await judge(bytes, `${key} = ${limit.enough}`), undefined);
    const tight = key === 'max_ratio' || key === 'max_manifest_bytes' ? least.min : limit.enough - 1;
    const error = await judge(bytes, `${key} = ${tight}`);
    assert.ok(error instanceof GweError, `expected a refusal, got ${String(error)}`);
    assert.equal(error.code, 'ARTIFACT_LIMIT');
    assert.match(error.message, limit.refusal);
  });
}

describe('a gateway with narrow limits', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  const settings = { max_output_bytes: 1000, max_report_bytes: 4096, max_reply_bytes: 8192 };

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform, { settings });
    const shout = '#!/bin/sh\nfor i in 1 2 3 4 5 6 7 8 9; do printf "%0900d\\n" $i; done\nexit 1\n';
    await platform.putContent('p1', 'loud.v1.tar.gz', makeTarball({ 'install.sh': shout }));
    gateway.start();
  });
  after(async () => {
    await gateway.remove();
    await platform.close();
  });

  test('max_output_bytes and max_report_bytes bound what is reported of a loud install.sh', async () => {
    const [report] = await sendCommand(platform, gateway, installCommand('loud.v1.tar.gz'));
    const info = String(report?.info);
    assert.match(info, /\[\.\.\. 7\d+ bytes left out \.\.\.\]/);
    assert.ok(info.length < 1100, `${info.length}`);
    assert.match(info, /0009\s*$/, 'the end of the output is there');
    assert.ok(JSON.stringify(report).length <= 4096);
  });

  test('max_reply_bytes bounds what a check-in reads; the gateway goes on', async () => {
    await platform.write('p1', 'gw-1', 'engine_fetch', 'x'.repeat(9000));
    await waitUntil(gateway, 'refusal of the answer', 10_000, () =>
      /larger than 8192 bytes/.test(gateway.log()),
    );
    await platform.write('p1', 'gw-1', 'engine_fetch', '');
    const before = (await platform.history('p1', 'gw-1', 'fetch_status')).length;
    await platform.write('p1', 'gw-1', 'engine_fetch', '{"install": 1}');
    await waitUntil(
      gateway,
      'report about the next command',
      10_000,
      async () => (await platform.history('p1', 'gw-1', 'fetch_status')).length > before,
    );
  });
});
