/** What an update would do, and whether it can, before a byte is fetched: for `gwe plan` and for every update itself. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { ContentFacts, VersionRecord } from '../artifact/record.ts';
import { GweError } from '../base/errors.ts';
import {
  type ContentApi,
  type ContentInfo,
  contentInfo,
  DEFAULT_RETRY_POLICY,
  parseManifestDigest,
} from '../protocol/content.ts';
import { partialBytes } from '../protocol/partial-file.ts';
import { versionDirectory } from '../store/layout.ts';
import { type Asked, downloadFile, requireApi } from './asked.ts';
import { assessChunks, type ChunkAssessment, refuseWhole } from './chunk-download.ts';
import { type Look, lookAtItem } from './chunk-look.ts';
import type { AgentContext } from './context.ts';
import { type Measure, measureContent, measureIndex, measureTrailer, NOT_MEASURED } from './measure.ts';
import { lackOfRoom, type Room, surveyRooms } from './space.ts';
import { createAdmission, isUsable } from './trust.ts';

export { type Asked, downloadFile, requireApi } from './asked.ts';

export interface Preflight {
  /** `rerun`: it is the active one, whose install.sh runs again; nothing is fetched for it. */
  action: 'install' | 'update' | 'rerun' | 'roll-back';
  /** The version that is active now. */
  active?: VersionRecord;
  /** What is on the gateway already and would be used, with `rerun` and `roll-back`. */
  present?: VersionRecord;
  /** What a failure or `gwe rollback` would go back to afterwards. */
  wayBack?: VersionRecord;
  /** What the content area says of it. */
  info?: ContentInfo;
  /** Bytes of the tarball, and how many of them are here already. */
  tarball: { sizeBytes: number; haveBytes: number };
  measure: Measure;
  /** What the start of the item says, where it was looked at; `chunks` of it, by what is on the gateway. */
  look?: Look;
  chunks?: ChunkAssessment;
  rooms: Room[];
  /** Why it would not be carried out. */
  refusal?: GweError;
}

/**
 * Throws what keeps it from finding out: DOWNLOAD_NOT_FOUND, PROTOCOL_*, CANCELLED. What it found and must refuse is
 * in the result (STORE_NO_SPACE, DOWNLOAD_TOO_LARGE, DOWNLOAD_DIGEST, ARTIFACT_LIMIT, ARTIFACT_REFUSED). Writes
 * nothing and needs no lock. `measure` is for a local file; by itself only its trailer is looked at.
 */
export async function preflight(
  context: AgentContext,
  content: ContentApi | undefined,
  asked: Asked,
  signal: AbortSignal,
  measure: (path: string) => Promise<Measure> = async (path) => measureTrailer(path),
): Promise<Preflight> {
  switch (asked.source.kind) {
    case 'previous':
      return preflightPrevious(context, asked.app);
    case 'file':
      return preflightFile(context, asked, asked.source.path, measure);
    case 'content':
      return preflightContent(context, requireApi(content), asked, signal);
  }
}

function preflightPrevious(context: AgentContext, app: string): Preflight {
  const { active, previous } = context.installed.get(app);
  if (previous === undefined) {
    throw new GweError('STORE_IO', `cannot go back with '${app}': the gateway has no earlier version of it`);
  }
  return {
    ...nothingToFetch(context),
    action: 'roll-back',
    present: previous,
    ...(active === undefined ? {} : { active, wayBack: active }),
  };
}

function nothingToFetch(context: AgentContext): Pick<Preflight, 'tarball' | 'measure' | 'rooms'> {
  return {
    tarball: { sizeBytes: 0, haveBytes: 0 },
    measure: NOT_MEASURED,
    rooms: surveyRooms(context, { fetchBytes: 0, unpackedBytes: 0, entries: 0 }),
  };
}

async function preflightFile(
  context: AgentContext,
  asked: Asked,
  path: string,
  measure: (path: string) => Promise<Measure>,
): Promise<Preflight> {
  const { active, previous } = context.installed.get(asked.app);
  const sizeBytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  const found = await measure(path);
  const rooms = surveyRooms(context, { fetchBytes: 0, ...found });
  const refusal = lackOfRoom(`install '${asked.contentId}'`, rooms);
  const isActive = active !== undefined && found.digest === active.digest;
  return {
    ...(isActive ? activeAgain(active, previous) : newVersion(active)),
    tarball: { sizeBytes, haveBytes: sizeBytes },
    measure: found,
    rooms,
    ...(refusal === undefined ? {} : { refusal }),
  };
}

async function preflightContent(
  context: AgentContext,
  content: ContentApi,
  asked: Asked,
  signal: AbortSignal,
): Promise<Preflight> {
  const { app, contentId } = asked;
  const { active, previous } = context.installed.get(app);
  const info = await requireContent(context, content, contentId, signal);
  const refusal = refusalOf(context, asked, info);
  const isActive =
    active?.contentId === contentId &&
    isSameItem(active.content, info) &&
    (asked.expectedSha256 === undefined || isTold(info, asked.expectedSha256)) &&
    isThere(context, app, active) &&
    isUsable(context, { app, ...active });
  if (isActive) {
    return {
      ...nothingToFetch(context),
      ...activeAgain(active, previous),
      info,
      ...(refusal === undefined ? {} : { refusal }),
    };
  }
  const ahead = await lookAhead(context, content, asked, info, signal, refusal);
  return { ...newVersion(active), info, ...ahead };
}

type Ahead = Pick<Preflight, 'tarball' | 'measure' | 'rooms' | 'look' | 'chunks' | 'refusal'>;

/** What fetching it would take; with a `refusal` nothing is asked for it. */
async function lookAhead(
  context: AgentContext,
  content: ContentApi,
  asked: Asked,
  info: ContentInfo,
  signal: AbortSignal,
  refusal: GweError | undefined,
): Promise<Ahead> {
  const file = downloadFile(context, asked);
  const haveBytes = partialBytes(file, { id: asked.contentId, ...info });
  const tarball = { sizeBytes: info.sizeBytes, haveBytes };
  if (refusal !== undefined) return { ...wholeAhead(context, asked, tarball, NOT_MEASURED), refusal };
  if (haveBytes === info.sizeBytes) return wholeAhead(context, asked, tarball, measureTrailer(file));
  // A whole download that has begun is gone on with.
  const look = haveBytes > 0 ? undefined : await lookQuietly(context, content, asked, info, signal);
  if (look instanceof GweError)
    return { ...wholeAhead(context, asked, tarball, NOT_MEASURED), refusal: look };
  if (look?.kind === 'chunks') return chunksAhead(context, content, asked, look, signal);
  const measure = await measureContent(content, asked.contentId, info, signal);
  const ahead = wholeAhead(context, asked, tarball, measure);
  if (look === undefined) return ahead;
  const dear = ahead.refusal ?? refuseWhole(context, asked, info.sizeBytes - haveBytes, look.reason);
  return { ...ahead, look, ...(dear === undefined ? {} : { refusal: dear }) };
}

function wholeAhead(
  context: AgentContext,
  { contentId }: Asked,
  tarball: Preflight['tarball'],
  measure: Measure,
): Ahead {
  const rooms = surveyRooms(context, { fetchBytes: tarball.sizeBytes - tarball.haveBytes, ...measure });
  const stop = tooLargeUnpacked(context, contentId, measure) ?? lackOfRoom(`fetch '${contentId}'`, rooms);
  return { tarball, measure, rooms, ...(stop === undefined ? {} : { refusal: stop }) };
}

async function chunksAhead(
  context: AgentContext,
  content: ContentApi,
  asked: Asked,
  look: Look & { kind: 'chunks' },
  signal: AbortSignal,
): Promise<Ahead> {
  const { contentId } = asked;
  const chunks = await assessChunks(context, content, asked, look, signal);
  const measure = measureIndex(look.index);
  const rooms = surveyRooms(context, {
    fetchBytes: chunks.patch?.fetchBytes ?? 0,
    ...measure,
    haveBytes: chunks.stagedBytes,
  });
  const stop =
    tooLargeUnpacked(context, contentId, measure) ??
    chunks.refusal ??
    lackOfRoom(`fetch '${contentId}'`, rooms);
  const haveBytes = chunks.sizeBytes - chunks.fetchBytes - look.fetchedBytes;
  return {
    tarball: { sizeBytes: chunks.sizeBytes, haveBytes },
    measure,
    look,
    chunks,
    rooms,
    ...(stop === undefined ? {} : { refusal: stop }),
  };
}

/** Where the network fails, nothing is known for now: the download itself will tell. */
async function lookQuietly(
  context: AgentContext,
  content: ContentApi,
  asked: Asked,
  info: ContentInfo,
  signal: AbortSignal,
): Promise<Look | GweError | undefined> {
  try {
    const look = await lookAtItem(context, content, asked, info, {
      signal,
      retries: { ...DEFAULT_RETRY_POLICY, tries: 1 },
    });
    if (look.kind === 'chunks') {
      createAdmission(context, { name: asked.app, version: asked.version })(look.index);
      return knownBad(context, asked, ({ digest }) => digest === look.index.digest) ?? look;
    }
    return look;
  } catch (error) {
    if (!(error instanceof GweError) || error.code === 'CANCELLED') throw error;
    return error.isRejection ? error : undefined;
  }
}

function newVersion(active: VersionRecord | undefined): Pick<Preflight, 'action' | 'active' | 'wayBack'> {
  return active === undefined ? { action: 'install' } : { action: 'update', active, wayBack: active };
}

function activeAgain(
  active: VersionRecord,
  previous: VersionRecord | undefined,
): Pick<Preflight, 'action' | 'active' | 'present' | 'wayBack'> {
  const wayBack = previous === undefined ? {} : { wayBack: previous };
  return { action: 'rerun', active, present: active, ...wayBack };
}

/** What the content area says of the tarball. Throws DOWNLOAD_NOT_FOUND, DOWNLOAD_TOO_LARGE, PROTOCOL_*. */
export async function requireContent(
  context: AgentContext,
  content: ContentApi,
  id: string,
  signal: AbortSignal,
): Promise<ContentInfo> {
  const info = await contentInfo(content, id, signal);
  if (info === undefined) {
    throw new GweError(
      'DOWNLOAD_NOT_FOUND',
      `cannot fetch '${id}': the content area has no item of that name; upload it and send the command again`,
    );
  }
  const limit = context.settings().maxArtifactBytes;
  if (info.sizeBytes > limit) {
    throw new GweError(
      'DOWNLOAD_TOO_LARGE',
      `cannot fetch '${id}': ${info.sizeBytes} bytes, expected at most ${limit} (max_artifact_bytes)`,
    );
  }
  return info;
}

/** Faults that the content area's word is enough for: another digest than asked for, or bytes that failed before. */
function refusalOf(context: AgentContext, asked: Asked, info: ContentInfo): GweError | undefined {
  const { expectedSha256, contentId } = asked;
  const { digest } = info;
  const isOther = digest?.algorithm === 'sha256' && expectedSha256 !== undefined;
  if (isOther && !isTold(info, expectedSha256)) {
    return new GweError(
      'DOWNLOAD_DIGEST',
      `cannot fetch '${contentId}': the content area has sha256 ${digest.hex}, expected ${expectedSha256} (the command)`,
    );
  }
  return knownBad(
    context,
    asked,
    (refusal) => isSameItem(refusal.content, info) && refusal.contentId === contentId,
  );
}

/** Whether the content area tells of this digest, of the tarball or of its manifest. */
function isTold(info: ContentInfo, sha256: string): boolean {
  return info.digest?.hex === sha256 || parseManifestDigest(info.meta) === sha256;
}

/** ARTIFACT_REFUSED if bytes that match failed under the same command before. */
export function knownBad(
  context: AgentContext,
  asked: Pick<Asked, 'app' | 'contentId' | 'commandDigest'>,
  matches: (refusal: { contentId: string; digest: string; content?: ContentFacts | undefined }) => boolean,
): GweError | undefined {
  const { refused } = context.installed.get(asked.app);
  const refusal = refused.find(
    (known) =>
      (asked.commandDigest === undefined || known.commandDigest === asked.commandDigest) && matches(known),
  );
  if (refusal === undefined) return undefined;
  return new GweError(
    'ARTIFACT_REFUSED',
    `cannot install '${asked.contentId}' again: the same command failed with the same bytes (${refusal.reason}); ` +
      'upload a mended tarball, or add any key to the command ("id": 2) to try it once more',
  );
}

function tooLargeUnpacked(context: AgentContext, id: string, measure: Measure): GweError | undefined {
  const limit = context.settings().maxUnpackedBytes;
  if (measure.unpackedBytes <= limit) return undefined;
  return new GweError(
    'ARTIFACT_LIMIT',
    `cannot fetch '${id}': at least ${measure.unpackedBytes} bytes unpacked, expected at most ${limit} (max_unpacked_bytes)`,
  );
}

export function factsOf({ sizeBytes, updated, meta }: ContentInfo): ContentFacts {
  return { sizeBytes, updated, meta };
}

function isSameItem(known: ContentFacts | undefined, found: ContentFacts): boolean {
  return known?.sizeBytes === found.sizeBytes && known.updated === found.updated && known.meta === found.meta;
}

function isThere(context: AgentContext, app: string, record: VersionRecord): boolean {
  const directory = versionDirectory(context.layout, app, record.version, record.digest);
  return ['install.sh', 'setup.py'].some(
    (name) => statSync(join(directory, name), { throwIfNoEntry: false })?.isFile() === true,
  );
}
