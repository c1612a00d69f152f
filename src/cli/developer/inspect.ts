/**
 * `gwe inspect TARBALL`: what is in it, how it is cut into chunks, and what an update from another one would fetch.
 *
 * `--json`: {version, file, name, appVersion, release, architectures, minimumGwe, downgradeFrom, expires, digest,
 * sha256, sizeBytes, unpackedBytes, entries, signatures: [key id], chunks: {count, meanBytes, leastBytes, mostBytes,
 * bodyBytes, compressedBytes, indexBytes, onePieceBytes}, against: {file, fetchBytes, requests, isOldCut}}; what is
 * not there is null.
 */
import { basename } from 'node:path';
import { GAP_BYTES } from '../../agent/fetch/assess.ts';
import { DEFAULT_LIMITS } from '../../artifact/limits.ts';
import {
  type ChunkStatistics,
  chunkStatistics,
  type UpdateCost,
  updateCost,
} from '../../artifact/make/tarball-facts.ts';
import type { ArtifactContents } from '../../artifact/unpack/contents.ts';
import { inspectArtifact } from '../../artifact/unpack/extract.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { absolutePath } from '../shell/path.ts';
import { printDocument, printLabelled, renderBytes, renderMoment } from '../shell/screen.ts';

const LABEL_COLUMNS = 13;

export const inspectCommand: CommandSpec = {
  path: ['inspect'],
  positionals: ['TARBALL'],
  summary: 'show what a tarball contains, how it is cut into chunks, and what an update to it would fetch',
  options: [
    {
      name: 'against',
      value: 'OLD',
      help: 'tarball of the version that is installed: what an update fetches',
    },
    JSON_OPTION,
  ],
  run: runInspect,
};

interface Found {
  file: string;
  contents: ArtifactContents;
  chunks: ChunkStatistics | undefined;
  against: (UpdateCost & { file: string }) | undefined;
}

async function runInspect({ io, options, positionals: [file = ''] }: CommandCall): Promise<number> {
  const path = absolutePath(io, file);
  const reading = { limits: DEFAULT_LIMITS, signal: io.signal };
  const contents = await inspectArtifact(path, { ...reading, isElsewhere: true });
  const chunks = await chunkStatistics(path, contents, io.signal);
  const old = options.text('against');
  const cost =
    old &&
    (await updateCost(absolutePath(io, old), contents, { statistics: chunks, gapBytes: GAP_BYTES }, reading));
  const against = old && cost ? { file: old, ...cost } : undefined;
  const found = { file, contents, chunks, against };
  if (options.has('json')) printDocument(io, toDocument(found));
  else for (const [label, text] of describe(found)) printLabelled(io, label, text, LABEL_COLUMNS);
  return EXIT.ok;
}

function toDocument({ file, contents, chunks, against }: Found): Record<string, unknown> {
  const { index, digest, compressedSha256: sha256, compressedBytes: sizeBytes, unpackedBytes } = contents;
  const manifest = index?.manifest;
  return {
    file,
    name: manifest?.name ?? null,
    appVersion: manifest?.version ?? null,
    release: manifest?.release ?? null,
    architectures: manifest?.architectures ?? null,
    minimumGwe: manifest?.minimum_gwe ?? null,
    downgradeFrom: manifest?.downgrade_from ?? null,
    expires: manifest?.expires ?? null,
    digest,
    sha256,
    sizeBytes,
    unpackedBytes,
    entries: contents.entries,
    signatures: index?.signatures.map(({ keyid }) => keyid) ?? [],
    chunks: chunks ?? null,
    against: against ?? null,
  };
}

function* describe({ file, contents, chunks, against }: Found): Generator<[label: string, text: string]> {
  yield* describeManifest(file, contents);
  const { compressedBytes, unpackedBytes, entries } = contents;
  yield [
    'size',
    `${renderBytes(compressedBytes)}, unpacked ${renderBytes(unpackedBytes)} in ${entries} entries`,
  ];
  if (chunks === undefined)
    yield ['chunks', `none: every update fetches all of it (gwe --build-app creates chunks)`];
  else yield* describeChunks(chunks, compressedBytes);
  if (against !== undefined) yield* describeUpdate(against, compressedBytes);
}

function* describeManifest(file: string, { index, digest }: ArtifactContents): Generator<[string, string]> {
  if (index === undefined) {
    yield ['app', `${basename(file)}, packed by hand: it has no manifest (gwe sign adds one)`];
    yield ['content', `sha256 ${digest}`];
    return;
  }
  const { name, version, release, architectures, minimum_gwe, downgrade_from, expires } = index.manifest;
  yield ['app', `${name}, version ${version}${release === undefined ? '' : `, release ${release}`}`];
  yield ['manifest', `sha256 ${digest}`];
  if (architectures !== undefined) yield ['made for', architectures.join(', ')];
  if (minimum_gwe !== undefined) yield ['needs', `gwe ${minimum_gwe} or newer`];
  if (downgrade_from !== undefined) yield ['may replace', `the higher releases ${downgrade_from.join(', ')}`];
  if (expires !== undefined) yield ['expires', describeExpiry(expires)];
  const keys = index.signatures.map(({ keyid }) => keyid);
  yield [
    'signed by',
    keys.length === 0 ? 'nobody' : `key ${keys.join(', key ')} (check them with gwe verify)`,
  ];
}

/** A manifest may name a second that no calendar has. */
function describeExpiry(seconds: number): string {
  return seconds < 253_402_300_800 ? `${renderMoment(seconds * 1000)} UTC` : `second ${seconds}`;
}

function* describeChunks(chunks: ChunkStatistics, sizeBytes: number): Generator<[string, string]> {
  const { count, meanBytes, leastBytes, mostBytes, bodyBytes, compressedBytes, onePieceBytes } = chunks;
  const sizes = `${renderBytes(meanBytes)} on average (${renderBytes(leastBytes)} to ${renderBytes(mostBytes)})`;
  yield ['chunks', `${count}, ${sizes}, compressed to ${percent(compressedBytes, bodyBytes)}`];
  yield ['index', `${renderBytes(chunks.indexBytes)}: manifest, table of chunks, signatures`];
  const more = sizeBytes - onePieceBytes;
  const than = `than as one gzip member (${renderBytes(onePieceBytes)})`;
  yield ['overhead', `${percent(Math.abs(more), onePieceBytes)} ${more < 0 ? 'less' : 'more'} ${than}`];
}

function* describeUpdate(
  { file, fetchBytes, requests, isOldCut }: UpdateCost & { file: string },
  sizeBytes: number,
): Generator<[string, string]> {
  const share = `${percent(fetchBytes, sizeBytes)} of it`;
  const from = `from ${basename(file)}${isOldCut ? ', which has no table of chunks and is cut on the gateway' : ''}`;
  yield [
    'update',
    `${from}: ${renderBytes(fetchBytes)} in ${requests} request${requests === 1 ? '' : 's'}, ${share}`,
  ];
}

function percent(part: number, whole: number): string {
  return `${((part * 100) / whole).toFixed(1)} %`;
}
