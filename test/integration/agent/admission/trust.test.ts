/** What a gateway with keys installs, and what it refuses, on every way to it. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { ArtifactFacts } from '../../../../src/artifact/manifest/manifest.ts';
import type { KeyPair } from '../../../../src/artifact/manifest/signature.ts';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { alter, fileEntry, makeIndexed, newKey } from '../../../helpers/indexed.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { type Supervisord, startSupervisord } from '../../../helpers/supervisord.ts';
import { makeTarball } from '../../../helpers/tarball.ts';
import { until } from '../../../helpers/until.ts';

const alice = newKey();
const bob = newKey();
const mallory = newKey();

describe('a gateway with keys', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  let supervisord: Supervisord;
  let marker = '';

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform);
    supervisord = await startSupervisord(gateway.root);
    marker = join(gateway.root, 'ran');
    gateway.start();
  });
  after(async () => {
    await gateway.remove();
    await supervisord.stop();
    await platform.close();
  });
  beforeEach(() => {
    trust({ alice });
    rmSync(marker, { force: true });
  });

  const keys = (): string => join(gateway.root, 'etc/gwe/keys.d');
  function trust(trusted: Readonly<Record<string, KeyPair>>, head = ''): void {
    rmSync(keys(), { recursive: true, force: true });
    mkdirSync(keys(), { recursive: true });
    for (const [name, key] of Object.entries(trusted)) {
      writeFileSync(join(keys(), `${name}.pub`), head + key.publicKey);
    }
  }
  const script = (line = 'exit 0') => ({
    content: `#!/bin/sh\necho "$GWE_APP_VERSION" >> ${marker}\n${line}\n`,
    mode: 0o755,
  });
  const files = (line?: string) => ({ 'install.sh': script(line), 'data.txt': 'data', 'z.txt': 'z' });
  const signed = (facts: ArtifactFacts, by: KeyPair[] = [alice], line?: string): Promise<Buffer> =>
    makeIndexed(facts, files(line), by);

  const seen = new Set<unknown>();
  /** Uploads, commands, and waits for the report of this very update: that of a local one may come in between. */
  async function send(id: string, tarball: Buffer): Promise<Record<string, unknown>> {
    await platform.putContent('p1', id, tarball);
    const command = JSON.stringify({ install: [{ name: id }], try: seen.size });
    await platform.write('p1', 'gw-1', 'engine_fetch', command);
    let found: Record<string, unknown> | undefined;
    await until(async () => {
      const history = await platform.history('p1', 'gw-1', 'fetch_status');
      const reports = history.map(({ value }) => JSON.parse(value) as Record<string, unknown>);
      found = reports.find(({ name, version, tx }) => id === `${name}.v${version}.tar.gz` && !seen.has(tx));
      return found !== undefined;
    });
    seen.add(found?.tx);
    return found ?? {};
  }

  async function assertRefused(id: string, tarball: Buffer, code: string, reason: RegExp): Promise<void> {
    const app = id.split('.v')[0] ?? '';
    const active = gateway.active(app);
    const report = await send(id, tarball);
    assert.equal(report.outcome, 'rejected', JSON.stringify(report));
    assert.equal(report.code, code);
    assert.match(String(report.reason), reason);
    assert.equal(existsSync(marker), false, 'nothing of it has run');
    assert.equal(gateway.active(app), active);
    const directory = join(gateway.root, 'opt/gwe/apps', app);
    const left = existsSync(directory) ? readdirSync(directory).filter((name) => name.startsWith('.')) : [];
    assert.deepEqual(left, [], 'nothing of it is left');
  }

  test('installs what a trusted key has signed', async () => {
    const report = await send('one.v1.tar.gz', await signed({ name: 'one', version: '1' }));
    assert.equal(report.outcome, 'installed', JSON.stringify(report));
    assert.match(readFileSync(marker, 'utf8'), /^1$/m);
    assert.ok(existsSync(join(gateway.root, 'opt/gwe/apps/one/current/.gwe/manifest.json')));
  });

  test('refuses arbitrary software: hand-packed, unsigned, signed by a stranger', async () => {
    await assertRefused('two.v1.tar.gz', makeTarball(files()), 'ARTIFACT_UNTRUSTED', /it is not signed/);
    const unsigned = await signed({ name: 'two', version: '1' }, []);
    await assertRefused('two.v1.tar.gz', unsigned, 'ARTIFACT_UNTRUSTED', /it is not signed/);
    const strange = await signed({ name: 'two', version: '1' }, [mallory]);
    await assertRefused('two.v1.tar.gz', strange, 'ARTIFACT_UNTRUSTED', /unknown key/);
  });

  test('refuses a signed tarball of which anything was changed', async () => {
    const good = await signed({ name: 'three', version: '1' });
    const replace = (from: string, to: string) =>
      alter(good, (stream) => Buffer.from(stream.toString('latin1').replace(from, to), 'latin1'));
    await assertRefused(
      'three.v1.tar.gz',
      replace('exit 0', 'exit 1'),
      'ARTIFACT_MANIFEST',
      /'install.sh' with sha256/,
    );
    const manifest = replace('"version":"1"', '"version":"2"');
    await assertRefused('three.v2.tar.gz', manifest, 'ARTIFACT_UNTRUSTED', /a wrong signature of alice/);
    const evil = fileEntry('evil', 'x');
    const extra = alter(good, (stream) =>
      Buffer.concat([stream.subarray(0, -1024), evil, Buffer.alloc(1024)]),
    );
    await assertRefused(
      'three.v1.tar.gz',
      extra,
      'ARTIFACT_MANIFEST',
      /'evil', which the manifest does not list/,
    );
    const trailing = Buffer.concat([good, gzipSync(Buffer.concat([evil, Buffer.alloc(1024)]))]);
    await assertRefused('three.v1.tar.gz', trailing, 'ARTIFACT_FORMAT', /behind the end of the archive/);
  });

  test('refuses mix-and-match: a good tarball under the name of another', async () => {
    const good = await signed({ name: 'one', version: '1' });
    await assertRefused('four.v1.tar.gz', good, 'ARTIFACT_UNSUITABLE', /its manifest is of 'one.v1.tar.gz'/);
    await assertRefused('one.v9.tar.gz', good, 'ARTIFACT_UNSUITABLE', /its manifest is of 'one.v1.tar.gz'/);
  });

  test('refuses another CPU, a newer format of gwe, and what has expired', async () => {
    const foreign = await signed({ name: 'five', version: '1', architectures: ['z80'] });
    await assertRefused('five.v1.tar.gz', foreign, 'ARTIFACT_UNSUITABLE', /it is made for z80, expected/);
    const expired = await signed({ name: 'five', version: '1', expires: 1_000_000_000 });
    await assertRefused('five.v1.tar.gz', expired, 'ARTIFACT_STALE', /it expired at 2001-09-09T01:46:40Z/);
  });

  test('refuses to go below the highest release, also from a file on the gateway, except with signed permission', async () => {
    assert.equal(
      (await send('six.v5.tar.gz', await signed({ name: 'six', version: '5', release: 5 }))).outcome,
      'installed',
    );
    rmSync(marker);
    const old = await signed({ name: 'six', version: '4', release: 4 });
    await assertRefused(
      'six.v4.tar.gz',
      old,
      'ARTIFACT_STALE',
      /it is release 4, expected release 5 or higher/,
    );
    const file = join(gateway.root, 'six.v4.tar.gz');
    writeFileSync(file, old);
    const local = gateway.gwe('-I', file);
    assert.equal(local.status, 1, local.stdout);
    assert.match(local.stdout + local.stderr, /it is release 4/);
    assert.equal(existsSync(marker), false);
    const permitted = await signed({ name: 'six', version: '3', release: 3, downgrade_from: [5] });
    assert.equal((await send('six.v3.tar.gz', permitted)).outcome, 'installed');
  });

  test('a failed update goes back to the lower release that was there before', async () => {
    assert.equal(
      (await send('seven.v1.tar.gz', await signed({ name: 'seven', version: '1', release: 1 }))).outcome,
      'installed',
    );
    const bad = await signed({ name: 'seven', version: '2', release: 2 }, [alice], 'exit 3');
    const report = await send('seven.v2.tar.gz', bad);
    assert.equal(report.outcome, 'rolled-back', JSON.stringify(report));
    assert.match(gateway.active('seven') ?? '', /^1-/);
  });

  test('demands as many signatures as are configured', async () => {
    trust({ alice, bob });
    gateway.gwe('--set', 'require_signatures=2');
    try {
      const one = await signed({ name: 'eight', version: '1' }, [alice, mallory]);
      await assertRefused('eight.v1.tar.gz', one, 'ARTIFACT_UNTRUSTED', /1 of 2 signatures are good/);
      const two = await signed({ name: 'eight', version: '1' }, [alice, bob]);
      assert.equal((await send('eight.v1.tar.gz', two)).outcome, 'installed');
    } finally {
      gateway.gwe('--set', 'require_signatures=1');
    }
  });

  test('a key for some apps does not vouch for others, and a damaged key file opens nothing', async () => {
    trust({ alice }, 'apps: other\n');
    const good = await signed({ name: 'nine', version: '1' });
    await assertRefused(
      'nine.v1.tar.gz',
      good,
      'ARTIFACT_UNTRUSTED',
      /signed for another app or purpose by alice/,
    );
    trust({});
    writeFileSync(join(keys(), 'broken.pub'), 'rubbish');
    await assertRefused('nine.v1.tar.gz', makeTarball(files()), 'ARTIFACT_UNTRUSTED', /it is not signed/);
  });

  test('goes back to nothing that was changed on the disk, or whose key is trusted no longer', async () => {
    for (const version of ['1', '2']) {
      const report = await send(`ten.v${version}.tar.gz`, await signed({ name: 'ten', version }));
      assert.equal(report.outcome, 'installed', JSON.stringify(report));
    }
    const apps = join(gateway.root, 'opt/gwe/apps/ten');
    const first = join(apps, gateway.versions('ten').find((name) => name.startsWith('1-')) ?? '?');
    rmSync(marker);
    const refused = (reason: RegExp): void => {
      const { status, stdout, stderr } = gateway.gwe('rollback', 'ten');
      assert.equal(status, 1, stdout);
      assert.match(stdout + stderr, reason);
      assert.equal(existsSync(marker), false, 'nothing of it has run');
      assert.match(gateway.active('ten') ?? '', /^2-/);
    };
    trust({ bob });
    refused(/unknown key/);
    trust({ alice });
    const install = readFileSync(join(first, 'install.sh'));
    writeFileSync(join(first, 'install.sh'), '#!/bin/sh\ntouch evil\n');
    refused(/'install.sh' is not what it was/);
    writeFileSync(join(first, 'install.sh'), install);
    writeFileSync(join(first, 'health.sh'), '#!/bin/sh\n');
    refused(/'health.sh', which it did not come with/);
    rmSync(join(first, 'health.sh'));
    const { status, stdout, stderr } = gateway.gwe('rollback', 'ten');
    assert.equal(status, 0, stdout + stderr);
    assert.match(gateway.active('ten') ?? '', /^1-/);
  });

  test('a retired key lets no command use what it vouched for, and brings it back', async () => {
    for (const version of ['1', '2']) {
      const report = await send(`retired.v${version}.tar.gz`, await signed({ name: 'retired', version }));
      assert.equal(report.outcome, 'installed', JSON.stringify(report));
    }
    trust({ bob });
    writeFileSync(join(gateway.root, 'etc/gwe/keys.d/alice.retired'), alice.publicKey);
    for (const version of ['2', '1']) {
      const again = await send(`retired.v${version}.tar.gz`, await signed({ name: 'retired', version }));
      assert.equal(again.outcome, 'rejected', JSON.stringify(again));
      assert.match(String(again.reason), /unknown key/);
    }
    const { status, stdout, stderr } = gateway.gwe('rollback', 'retired');
    assert.equal(status, 0, stdout + stderr);
    assert.match(gateway.active('retired') ?? '', /^1-/);
    trust({ alice });
  });

  test('a failed update does not go back to a version that was changed on the disk', async () => {
    assert.equal(
      (await send('eleven.v1.tar.gz', await signed({ name: 'eleven', version: '1' }))).outcome,
      'installed',
    );
    const first = join(gateway.root, 'opt/gwe/apps/eleven', gateway.active('eleven') ?? '?');
    writeFileSync(join(first, 'data.txt'), 'DATA');
    const bad = await signed({ name: 'eleven', version: '2' }, [alice], 'exit 3');
    const report = await send('eleven.v2.tar.gz', bad);
    assert.equal(report.outcome, 'rollback-failed', JSON.stringify(report));
    assert.match(String(report.rollback), /'data.txt' is not what it was/);
    assert.doesNotMatch(
      readFileSync(marker, 'utf8').replace('1\n', ''),
      /1/,
      'install.sh of 1 did not run again',
    );
  });

  test('keys add says which apps could not be rolled back', () => {
    trust({});
    writeFileSync(join(gateway.root, 'bob.pub'), bob.publicKey);
    const { status, stderr } = gateway.gwe('keys', 'add', join(gateway.root, 'bob.pub'));
    assert.equal(status, 0, stderr);
    assert.match(stderr, /app 'one': a failed update could not be rolled back to version 1: .* unknown key/);
  });

  test('the same version with another signature is no other version, and gets the signature', async () => {
    assert.equal(
      (await send('twelve.v1.tar.gz', await signed({ name: 'twelve', version: '1' }))).outcome,
      'installed',
    );
    const active = gateway.active('twelve');
    trust({ bob });
    const report = await send(
      'twelve.v1.tar.gz',
      await signed({ name: 'twelve', version: '1' }, [alice, bob]),
    );
    assert.equal(report.status, 'success', JSON.stringify(report));
    assert.equal(gateway.active('twelve'), active);
    const stored = readFileSync(
      join(gateway.root, 'opt/gwe/apps/twelve/current/.gwe/signatures.json'),
      'utf8',
    );
    assert.ok(stored.includes(bob.keyId));
  });
});
