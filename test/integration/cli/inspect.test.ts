/** `gwe inspect` as a developer types it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { DEFAULT_LIMITS } from '../../../src/artifact/limits.ts';
import { manifestMember, signaturesMember } from '../../../src/artifact/make/pack-indexed.ts';
import { decodeManifest, renderManifest } from '../../../src/artifact/manifest/manifest.ts';
import { createCommandLine } from '../../helpers/command-line.ts';
import { makeIndexed, newKey, sha256 } from '../../helpers/indexed.ts';
import { INSTALL_OK, makeTarball } from '../../helpers/tarball.ts';

/** About 1.2 MB in lines that compress to a third. */
const LINES = Array.from({ length: 30_000 }, (_, at) => `${sha256(String(at)).slice(0, 20)} is line ${at}\n`);
const OLD = { 'install.sh': INSTALL_OK, 'data.txt': LINES.join('') };
const NEW = { 'install.sh': INSTALL_OK, 'data.txt': LINES.with(15_000, 'another line\n').join('') };

type Line = ReturnType<typeof createCommandLine>;

async function commandLine(t: TestContext): Promise<Line> {
  const line = createCommandLine();
  t.after(() => line.remove());
  line.file('app.v1.tar.gz', await makeIndexed({ name: 'app', version: '1' }, OLD));
  const facts = { release: 3, architectures: ['x64'], minimum_gwe: '2.0', expires: 4_000_000_000 };
  line.file('app.v2.tar.gz', await makeIndexed({ name: 'app', version: '2', ...facts }, NEW, [newKey()]));
  return line;
}

function ok(result: ReturnType<Line['gwe']>): string {
  assert.equal(result.status, 0, result.stderr);
  return result.stdout;
}

test('it tells what the manifest says, how the tarball is cut, and what an update fetches, in 80 columns', async (t) => {
  const line = await commandLine(t);
  const text = ok(line.gwe('inspect', 'app.v2.tar.gz', '--against', 'app.v1.tar.gz'));
  assert.match(text, /^app +app, version 2, release 3$/m);
  assert.match(text, /^made for +x64$/m);
  assert.match(text, /^needs +gwe 2\.0 or newer$/m);
  assert.match(text, /^expires +2096-10-02 07:06:40 UTC$/m);
  assert.match(text, /^signed by +key [0-9a-f]{32} \(check them with gwe verify\)$/m);
  assert.match(text, /^chunks +\d+, [\d.]+ KB on average \(.*\), compressed to \d+\.\d %$/m);
  assert.match(text, /^overhead +\d+\.\d % (more|less) than as one gzip member \(\d+ KB\)$/m);
  assert.match(text, /^update +from app\.v1\.tar\.gz: [\d.]+ KB in \d requests, \d+\.\d % of it$/m);
  const { stdout } = line.onTerminal(['inspect', 'app.v2.tar.gz', '--against', 'app.v1.tar.gz']);
  for (const row of stdout.split(/\r?\n/)) assert.ok(row.length <= 80, row);
});

test('its figures are those of the files: what it says an update fetches is the index and the chunks that differ', async (t) => {
  const line = await commandLine(t);
  const { chunks, against, sizeBytes } = line.json(
    ...['inspect', 'app.v2.tar.gz', '--against', 'app.v1.tar.gz', '--json'],
  ) as {
    sizeBytes: number;
    chunks: Record<string, number>;
    against: { fetchBytes: number; requests: number; isOldCut: boolean };
  };
  assert.equal(sizeBytes, statSync(join(line.cwd, 'app.v2.tar.gz')).size);
  const tables = ['app.v1.tar.gz', 'app.v2.tar.gz'].map((file) => {
    const text = execFileSync('tar', ['xzOf', join(line.cwd, file), '.gwe/manifest.json']);
    return (JSON.parse(text.toString()) as { chunks: [number, number, string][] }).chunks;
  });
  const [old = [], next = []] = tables;
  const had = new Set(old.map(([, , digest]) => digest));
  const differing = next.filter(([, , digest]) => !had.has(digest));
  assert.ok(differing.length >= 1 && differing.length <= 3, `${differing.length} of ${next.length}`);
  const changed = differing.reduce((sum, [, bytes]) => sum + bytes, 0);
  const all = next.reduce((sum, [, bytes]) => sum + bytes, 0);
  assert.equal(chunks.count, next.length);
  assert.equal(chunks.indexBytes, sizeBytes - all);
  assert.equal(against.isOldCut, false);
  const gaps = against.fetchBytes - (sizeBytes - all) - changed;
  assert.ok(gaps >= 0 && gaps <= 8192, `${gaps} bytes between chunks`);
  const gzip = execFileSync('sh', [
    '-c',
    'gunzip -c "$1" | gzip -6 | wc -c',
    'sh',
    join(line.cwd, 'app.v2.tar.gz'),
  ]);
  const onePiece = chunks.onePieceBytes ?? 0;
  assert.ok(Math.abs(onePiece / Number(gzip) - 1) < 0.1, `${onePiece}, gzip ${gzip}`);
});

test('a hand-packed tarball has no chunks, and an old one is cut as a gateway would cut it', async (t) => {
  const line = await commandLine(t);
  const hand = makeTarball({ 'install.sh': INSTALL_OK, 'data.txt': LINES.join('') });
  line.file('app.v0.tar.gz', hand);
  const text = ok(line.gwe('inspect', 'app.v0.tar.gz', '--against', 'app.v1.tar.gz'));
  assert.match(text, /packed by hand: it has no manifest/);
  assert.match(text, /^chunks +none: every update fetches all of it/m);
  assert.match(text, /in 1 request, 100\.0 % of it/);
  const against = (old: string): unknown =>
    line.json('inspect', 'app.v2.tar.gz', '--against', old, '--json').against;
  const byTable = against('app.v1.tar.gz') as Record<string, unknown>;
  assert.deepEqual(against('app.v0.tar.gz'), { ...byTable, file: 'app.v0.tar.gz', isOldCut: true });
});

/** The tarball with another digest for its second chunk: it unpacks as before. */
async function withLyingTable(tarball: Buffer): Promise<Buffer> {
  const stream = gunzipSync(tarball);
  const size = Number.parseInt(stream.toString('latin1', 124, 136), 8);
  const manifest = decodeManifest(stream.subarray(512, 512 + size), DEFAULT_LIMITS);
  const chunks = [...(manifest.chunks ?? [])];
  const body = tarball.subarray(tarball.length - chunks.reduce((sum, [, bytes]) => sum + bytes, 0));
  const wrong = chunks.with(1, [chunks[1]?.[0] ?? 0, chunks[1]?.[1] ?? 0, '0'.repeat(32)]);
  const bytes = renderManifest({ ...manifest, chunks: wrong });
  return Buffer.concat([await manifestMember(bytes), await signaturesMember([]), body]);
}

test('it refuses what a gateway would refuse, and like verify and sign a table that lies', async (t) => {
  const line = await commandLine(t);
  const bytes = readFileSync(join(line.cwd, 'app.v1.tar.gz'));
  const lying = await withLyingTable(bytes);
  line.file('app.v1.tar.gz', lying);
  assert.equal(line.gwe('--check-tarball', 'app.v1.tar.gz').status, 0, 'what is in it is fine');
  assert.equal(line.gwe('keygen', '--out', 'k').status, 0);
  for (const command of [['inspect'], ['verify'], ['sign', '--key', 'k.key']]) {
    const { status, stderr } = line.gwe(...command, 'app.v1.tar.gz');
    assert.equal(status, 1);
    assert.match(stderr, /other bytes in chunk 1, expected/);
  }
  assert.ok(readFileSync(join(line.cwd, 'app.v1.tar.gz')).equals(lying));
  line.file('cut.v1.tar.gz', bytes.subarray(0, -100));
  assert.equal(line.gwe('inspect', 'cut.v1.tar.gz').status, 1);
  mkdirSync(join(line.cwd, 'd.v1.tar.gz'));
  assert.match(line.gwe('inspect', 'd.v1.tar.gz').stderr, /no regular file/);
  assert.match(line.gwe('inspect', 'app.v2.tar.gz', '--against', 'none.tar.gz').stderr, /none\.tar\.gz/);
});
