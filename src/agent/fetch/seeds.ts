/** Chunks of a new version that are on the gateway already: in any version of any app. */
import { lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { ChunkTable } from '../../artifact/chunks/chunk-table.ts';
import { BodyCutter } from '../../artifact/chunks/chunker.ts';
import { openTreeStream, type TreeStream } from '../../artifact/chunks/tree-stream.ts';
import type { ArtifactLimits } from '../../artifact/limits.ts';
import {
  type ChunkFact,
  chunkDigest,
  chunkFacts,
  entryHeaders,
  type Manifest,
  type ManifestEntry,
} from '../../artifact/manifest/manifest.ts';
import { readTreeManifest } from '../../artifact/manifest/verify-tree.ts';
import { describeError, GweError } from '../../base/errors.ts';
import { listDirectory } from '../../base/fs.ts';
import {
  type ChunkRecord,
  decodeRecords,
  encodeRecords,
  type IndexSection,
  readChunkIndex,
  writeChunkIndex,
} from '../../store/chunk-index.ts';
import { appDirectory } from '../../store/layout.ts';
import { listVersions } from '../../store/versions.ts';
import { artifactLimits } from '../admission/artifact-limits.ts';
import type { AgentContext } from '../run/context.ts';

interface Seeds {
  /** Whether something on the gateway seems to hold it. */
  has(chunk: ChunkFact): boolean;
  /** Fills `into` with what may be the chunk, from each place in turn; its digest is for the caller to check. */
  candidates(chunk: ChunkFact, into: Buffer): Iterable<Buffer>;
  close(): void;
}

/** What versions without a chunk table may cost in reading, all together: seconds on a slow CPU. */
const MOST_CUT_BYTES = 256 * 1024 * 1024;
const PIECE_BYTES = 256 * 1024;
const MOST_PLACES = 4;
const MOST_ENTRIES = 20_000;

/**
 * Looks up `wanted` in the index of chunks, which is brought up to date first (and written where `mayWrite`): versions
 * of `app` come first. Throws CANCELLED.
 */
export async function openSeeds(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings'>,
  app: string,
  wanted: ChunkTable,
  options: { mayWrite: boolean; signal: AbortSignal },
): Promise<Seeds> {
  const sections = await currentSections(context, app, options);
  const places = new Places(wanted);
  for (const [which, section] of sections.entries())
    for (const { digest, offset } of decodeRecords(section.records)) places.add(digest, which, offset);
  const streams = new Map<IndexSection, TreeStream | undefined>();
  const open = (section: IndexSection): TreeStream | undefined => {
    if (!streams.has(section)) streams.set(section, openSection(context, section));
    return streams.get(section);
  };
  return {
    has: ({ digest }) => places.has(digest),
    *candidates({ digest }, into) {
      for (const [which, offset] of places.of(digest)) {
        const section = sections[which];
        if (section !== undefined && open(section)?.read(offset, into) === true) yield into;
      }
    },
    close() {
      for (const stream of streams.values()) stream?.close();
      streams.clear();
    },
  };
}

/** Where on the gateway the chunks of a table seem to be, MOST_PLACES for each: a section, and a byte of its stream. */
class Places {
  readonly #wanted: ChunkTable;
  readonly #counts: Uint8Array;
  readonly #sections: Uint32Array;
  readonly #offsets: Float64Array;

  constructor(wanted: ChunkTable) {
    this.#wanted = wanted;
    this.#counts = new Uint8Array(wanted.length);
    this.#sections = new Uint32Array(wanted.length * MOST_PLACES);
    this.#offsets = new Float64Array(wanted.length * MOST_PLACES);
  }

  add(digest: string, section: number, offset: number): void {
    const at = this.#wanted.first(digest);
    const count = at === undefined ? MOST_PLACES : (this.#counts[at] ?? MOST_PLACES);
    if (at === undefined || count >= MOST_PLACES) return;
    this.#sections[at * MOST_PLACES + count] = section;
    this.#offsets[at * MOST_PLACES + count] = offset;
    this.#counts[at] = count + 1;
  }

  has(digest: string): boolean {
    const at = this.#wanted.first(digest);
    return at !== undefined && (this.#counts[at] ?? 0) > 0;
  }

  *of(digest: string): Generator<[section: number, offset: number]> {
    const at = this.#wanted.first(digest) ?? 0;
    if (!this.has(digest)) return;
    for (let slot = at * MOST_PLACES; slot < at * MOST_PLACES + (this.#counts[at] ?? 0); slot++)
      yield [this.#sections[slot] ?? 0, this.#offsets[slot] ?? 0];
  }
}

/** One section for each version directory, those of `app` first. */
async function currentSections(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings'>,
  app: string,
  { mayWrite, signal }: { mayWrite: boolean; signal: AbortSignal },
): Promise<IndexSection[]> {
  const path = context.layout.chunkIndex;
  const known = readChunkIndex(path);
  const sections: IndexSection[] = [];
  let budget = MOST_CUT_BYTES;
  let isNew = false;
  for (const version of listAll(context, app)) {
    const old = known.find((one) => one.app === version.app && one.directory === version.directory);
    if (old !== undefined) {
      sections.push(old);
      continue;
    }
    isNew = true;
    const made = await makeSection(context, version, budget, signal).catch((error: unknown) => {
      if (signal.aborted) throw error;
      // Not everything in the apps directory was put there by gwe.
      context.log.debug('chunks.skip', { ...version }, describeError(error));
      return undefined;
    });
    if (made === undefined) continue;
    budget -= made.cutBytes;
    sections.push(made.section);
  }
  if (mayWrite && (isNew || sections.length !== known.length)) writeQuietly(context, path, sections);
  return sections;
}

/** The next update rebuilds it; that takes longer, but is no reason to fail this one. */
function writeQuietly(
  context: Pick<AgentContext, 'log'>,
  path: string,
  sections: readonly IndexSection[],
): void {
  try {
    writeChunkIndex(path, sections);
  } catch (error) {
    context.log.warn('chunks.index', { path }, describeError(error));
  }
}

interface VersionPlace {
  app: string;
  directory: string;
}

function listAll({ layout }: Pick<AgentContext, 'layout'>, first: string): VersionPlace[] {
  const others = listDirectory(layout.appsDirectory).filter((app) => app !== first && !app.startsWith('.'));
  return [first, ...others].flatMap((app) =>
    listVersions(layout, app).map((directory) => ({ app, directory })),
  );
}

function placeOf({ layout }: Pick<AgentContext, 'layout'>, { app, directory }: VersionPlace): string {
  return join(appDirectory(layout, app), directory);
}

async function makeSection(
  context: Pick<AgentContext, 'layout' | 'settings'>,
  version: VersionPlace,
  budget: number,
  signal: AbortSignal,
): Promise<{ section: IndexSection; cutBytes: number }> {
  const limits = artifactLimits(context.settings());
  const at = placeOf(context, version);
  const manifest = manifestOf(at, limits);
  const wrap = (records: readonly ChunkRecord[], entries?: IndexSection['entries']): IndexSection => ({
    ...version,
    chunks: records.length,
    records: encodeRecords(records),
    ...(entries === undefined ? {} : { entries }),
  });
  if (manifest?.chunks !== undefined) return { section: wrap(chunkFacts(manifest)), cutBytes: 0 };
  const entries = manifest?.entries ?? listEntries(at);
  const stream = openTreeStream(at, { entries }, manifest === undefined ? { rootPrefix: '' } : {});
  try {
    if (stream.sizeBytes > budget || entries.length > MOST_ENTRIES) return { section: wrap([]), cutBytes: 0 };
    const records = await cut(stream, entries, signal);
    const kept = manifest === undefined ? [...entries] : undefined;
    return { section: wrap(records, kept), cutBytes: stream.sizeBytes };
  } finally {
    stream.close();
  }
}

/** `undefined` for a version without one, or with one that cannot be used: its bytes may be of use all the same. */
function manifestOf(directory: string, limits: ArtifactLimits): Manifest | undefined {
  try {
    return readTreeManifest(directory, limits);
  } catch {
    return undefined;
  }
}

async function cut(
  stream: TreeStream,
  entries: Iterable<ManifestEntry>,
  signal: AbortSignal,
): Promise<ChunkRecord[]> {
  const cutter = new BodyCutter(entryHeaders(entries));
  const piece = Buffer.allocUnsafe(PIECE_BYTES);
  const records: ChunkRecord[] = [];
  let offset = 0;
  for (let at = 0; at < stream.sizeBytes; at += PIECE_BYTES) {
    const part = piece.subarray(0, Math.min(PIECE_BYTES, stream.sizeBytes - at));
    // A file that has changed since is of no use; the ones behind it are.
    if (!stream.read(at, part)) part.fill(0);
    for (const chunk of cutter.take(part)) {
      records.push({ digest: chunkDigest(chunk), sizeBytes: chunk.length, offset });
      offset += chunk.length;
    }
    await new Promise((resolve) => setImmediate(resolve));
    if (signal.aborted) throw new GweError('CANCELLED', 'stopped looking at what is installed');
  }
  return records;
}

/** The tree of a version without a manifest, as entries; anything but files, directories and links is skipped. */
function listEntries(directory: string): ManifestEntry[] {
  const entries: ManifestEntry[] = [];
  const walk = (below: string): void => {
    for (const name of readdirSync(join(directory, below)).sort()) {
      const path = below === '' ? name : `${below}/${name}`;
      if (entries.length > MOST_ENTRIES || path === '.gwe') return;
      const entry = toEntry(directory, path);
      if (entry !== undefined) entries.push(entry);
      if (entry?.type === 'directory') walk(path);
    }
  };
  walk('');
  return entries;
}

function toEntry(directory: string, path: string): ManifestEntry | undefined {
  const stat = lstatSync(join(directory, path), { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  const mode = (stat.mode & 0o777).toString(8).padStart(4, '0');
  if (stat.isDirectory()) return { type: 'directory', path, mode };
  if (stat.isSymbolicLink()) return { type: 'symlink', path, target: readlinkSync(join(directory, path)) };
  return stat.isFile() ? { type: 'file', path, mode, size: stat.size, sha256: '' } : undefined;
}

function openSection(
  context: Pick<AgentContext, 'layout' | 'settings'>,
  section: IndexSection,
): TreeStream | undefined {
  const at = placeOf(context, section);
  if (section.entries !== undefined)
    return openTreeStream(at, { entries: section.entries }, { rootPrefix: '' });
  const manifest = manifestOf(at, artifactLimits(context.settings()));
  return manifest === undefined ? undefined : openTreeStream(at, manifest);
}
