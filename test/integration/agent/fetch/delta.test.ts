import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { type Entries, makeIndexed } from '../../../helpers/indexed.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { type Supervisord, startSupervisord } from '../../../helpers/supervisord.ts';

const BIG = randomBytes(600_000);

function tree(version: string, big: Buffer, more: Entries = {}): Entries {
  return {
    'install.sh': '#!/bin/sh\nexit 0\n',
    VERSION: version,
    'lib/big.bin': { content: big, mode: 0o640 },
    'lib/link': { link: 'big.bin' },
    'empty/': '',
    ...more,
  };
}

function changed(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

/** Path, mode and content of everything below `directory`. */
function listing(directory: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(directory, name);
    const stat = lstatSync(path);
    const mode = (stat.mode & 0o777).toString(8);
    found[name] = stat.isSymbolicLink()
      ? `-> ${readlinkSync(path)}`
      : stat.isFile()
        ? `${mode} ${readFileSync(path, 'base64')}`
        : `${mode} directory`;
  }
  return found;
}

describe('updates of indexed tarballs', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  let supervisord: Supervisord;
  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform);
    supervisord = await startSupervisord(gateway.root);
    gateway.start();
  });
  after(async () => {
    await gateway.remove();
    await supervisord.stop();
    await platform.close();
  });

  async function put(name: string, version: string, entries: Entries): Promise<number> {
    const tarball = await makeIndexed({ name, version }, entries);
    await platform.putContent('p1', `${name}.v${version}.tar.gz`, tarball, '');
    return tarball.length;
  }
  const install = (id: string, more: object = {}): Promise<Record<string, unknown>> =>
    gateway.command(platform, JSON.stringify({ install: [{ name: id }], ...more }));

  test('a first version comes in one go', async () => {
    const bytes = await put('one', '1', tree('1', BIG));
    const report = await install('one.v1.tar.gz');
    assert.equal(report.outcome, 'installed', JSON.stringify(report) + gateway.log());
    const { bytes: fetched, bytes_reused: known, requests } = report;
    assert.deepEqual([Number(fetched) + Number(known), requests], [bytes, 2]);
    assert.ok(Number(known) < 1024, `${known}: no more than the end of the archive, which is no news`);
    assert.equal(readFileSync(join(gateway.root, 'opt/gwe/apps/one/current/VERSION'), 'utf8'), '1');
  });

  test('of the next one comes what has changed, and the tree is that of a full download', async () => {
    const bytes = await put('one', '2', tree('2', changed(BIG, 300_000), { 'lib/new': 'new' }));
    const report = await install('one.v2.tar.gz');
    assert.equal(report.outcome, 'installed', JSON.stringify(report) + gateway.log());
    assert.ok(Number(report.bytes) < bytes / 2, `${report.bytes} of ${bytes}`);
    const own = await put('two', '2', tree('2', changed(BIG, 300_000), { 'lib/new': 'new' }));
    const other = await install('two.v2.tar.gz');
    assert.ok(Number(other.bytes) < own / 4, `another app shares its chunks: ${other.bytes} of ${own}`);
    const one = listing(join(gateway.root, 'opt/gwe/apps/one/current'));
    assert.equal(one['lib/big.bin'], `640 ${changed(BIG, 300_000).toString('base64')}`);
    const two = listing(join(gateway.root, 'opt/gwe/apps/two/current'));
    delete one['.gwe/manifest.json'];
    delete two['.gwe/manifest.json'];
    assert.deepEqual(one, two);
  });
});
