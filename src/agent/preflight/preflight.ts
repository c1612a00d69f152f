/**
 * What an update would do, and whether it can, before a byte is fetched: for `gwe plan` and for every update itself.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { ContentFacts, VersionRecord } from '../../artifact/record.ts';
import { GweError } from '../../base/errors.ts';
import {
  type ContentApi,
  type ContentInfo,
  contentInfo,
  parseManifestDigest,
} from '../../protocol/content-api.ts';
import { partialBytes } from '../../protocol/partial-file.ts';
import { DEFAULT_RETRY_POLICY } from '../../protocol/retry.ts';
import { itemFiles } from '../../store/downloads.ts';
import { versionDirectory } from '../../store/layout.ts';
import { createAdmission, isUsable } from '../admission/admission.ts';
import { knownBad } from '../admission/known-bad.ts';
import { assessChunks, type ChunkAssessment, refuseWhole } from '../fetch/assess.ts';
import { type ChunkedInspection, type ItemInspection, inspectItem } from '../fetch/inspect-item.ts';
import { contentApiFor, createCounts, type Item } from '../fetch/item.ts';
import type { AgentContext } from '../run/context.ts';
import { requireApi } from '../run/platform-connection.ts';
import type { UpdateRequest } from '../run/update-request.ts';
import { lackOfRoom, type Room, surveyRooms } from './space.ts';
import {
  sizeByIndex,
  sizeByItemTrailer,
  sizeByTrailer,
  UNKNOWN_SIZE,
  type UnpackedSize,
} from './unpacked-size.ts';

type Context = Pick<
  AgentContext,
  'layout' | 'clock' | 'log' | 'gweVersion' | 'settings' | 'installed' | 'clockFloor'
>;

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
  unpacked: UnpackedSize;
  /** What the start of the item says, where it was looked at; `chunks` of it, by what is on the gateway. */
  inspection?: ItemInspection;
  chunks?: ChunkAssessment;
  rooms: Room[];
  /** Why it would not be carried out. */
  refusal?: GweError;
}

export interface PreflightOptions {
  /** The content area, for a request that is fetched from there. */
  content?: ContentApi | undefined;
  signal: AbortSignal;
  /** What a local file unpacks to; without it, only its trailer is read. */
  readUnpacked?: (path: string) => Promise<UnpackedSize>;
}

/**
 * Throws what keeps it from finding out: DOWNLOAD_NOT_FOUND, PROTOCOL_*, CANCELLED. What it found and must refuse is
 * in the result (STORE_NO_SPACE, DOWNLOAD_TOO_LARGE, DOWNLOAD_DIGEST, ARTIFACT_LIMIT, ARTIFACT_REFUSED). Writes
 * nothing and needs no lock.
 */
export async function preflight(
  context: Context,
  request: UpdateRequest,
  { content, signal, readUnpacked = async (path) => sizeByTrailer(path) }: PreflightOptions,
): Promise<Preflight> {
  switch (request.source.kind) {
    case 'previous':
      return preflightPrevious(context, request.app);
    case 'file':
      return preflightFile(context, request, request.source.path, readUnpacked);
    case 'content':
      return preflightContent(context, request, requireApi(content), signal);
  }
}

function preflightPrevious(
  context: Pick<AgentContext, 'layout' | 'settings' | 'installed'>,
  app: string,
): Preflight {
  const { active, previous } = context.installed.get(app);
  if (previous === undefined) {
    throw new GweError('STORE_IO', `cannot roll back '${app}': the gateway has no earlier version of it`);
  }
  return {
    ...nothingToFetch(context),
    action: 'roll-back',
    present: previous,
    ...(active === undefined ? {} : { active, wayBack: active }),
  };
}

function nothingToFetch(
  context: Pick<AgentContext, 'layout' | 'settings'>,
): Pick<Preflight, 'tarball' | 'unpacked' | 'rooms'> {
  return {
    tarball: { sizeBytes: 0, haveBytes: 0 },
    unpacked: UNKNOWN_SIZE,
    rooms: surveyRooms(context, { fetchBytes: 0, unpackedBytes: 0, entries: 0 }),
  };
}

async function preflightFile(
  context: Pick<AgentContext, 'layout' | 'settings' | 'installed'>,
  request: UpdateRequest,
  path: string,
  readUnpacked: (path: string) => Promise<UnpackedSize>,
): Promise<Preflight> {
  const { active, previous } = context.installed.get(request.app);
  const sizeBytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  const found = await readUnpacked(path);
  const rooms = surveyRooms(context, { fetchBytes: 0, ...found });
  const refusal = lackOfRoom(`install '${request.contentId}'`, rooms);
  const isActive = active !== undefined && found.digest === active.digest;
  return {
    ...(isActive ? activeAgain(active, previous) : newVersion(active)),
    tarball: { sizeBytes, haveBytes: sizeBytes },
    unpacked: found,
    rooms,
    ...(refusal === undefined ? {} : { refusal }),
  };
}

async function preflightContent(
  context: Context,
  request: UpdateRequest,
  api: ContentApi,
  signal: AbortSignal,
): Promise<Preflight> {
  const { app, contentId } = request;
  const { active, previous } = context.installed.get(app);
  const info = await requireContent(context, api, contentId, signal);
  const item = { api: contentApiFor(api, request, info), request, info, signal, counts: createCounts() };
  const refusal = refusalOf(context, item);
  const isActive =
    active?.contentId === contentId &&
    isSameItem(active.content, info) &&
    (request.expectedSha256 === undefined || isTold(info, request.expectedSha256)) &&
    isThere(context, app, active) &&
    isUsable(context, { app, ...active }, 'command');
  if (isActive) {
    return {
      ...nothingToFetch(context),
      ...activeAgain(active, previous),
      info,
      ...(refusal === undefined ? {} : { refusal }),
    };
  }
  const ahead = await estimateFetch(context, item, refusal);
  return { ...newVersion(active), info, ...ahead };
}

type FetchEstimate = Pick<Preflight, 'tarball' | 'unpacked' | 'rooms' | 'inspection' | 'chunks' | 'refusal'>;

/** What fetching it would take; with a `refusal` nothing is asked for it. */
async function estimateFetch(
  context: Context,
  item: Item,
  refusal: GweError | undefined,
): Promise<FetchEstimate> {
  const { request, info } = item;
  const file = itemFiles(context.layout, request.contentId).whole;
  const haveBytes = partialBytes(file, { id: request.contentId, ...info });
  const tarball = { sizeBytes: info.sizeBytes, haveBytes };
  if (refusal !== undefined) return { ...estimateWhole(context, request, tarball, UNKNOWN_SIZE), refusal };
  if (haveBytes === info.sizeBytes) return estimateWhole(context, request, tarball, sizeByTrailer(file));
  // A whole download that has begun is continued.
  const inspection = haveBytes > 0 ? undefined : await tryInspectItem(context, item);
  if (inspection instanceof GweError)
    return { ...estimateWhole(context, request, tarball, UNKNOWN_SIZE), refusal: inspection };
  if (inspection?.kind === 'chunks') return estimateChunks(context, item, inspection);
  const unpacked = await sizeByItemTrailer(item);
  const ahead = estimateWhole(context, request, tarball, unpacked);
  if (inspection === undefined) return ahead;
  const tooMuch =
    ahead.refusal ?? refuseWhole(context, request, info.sizeBytes - haveBytes, inspection.reason);
  return { ...ahead, inspection, ...(tooMuch === undefined ? {} : { refusal: tooMuch }) };
}

function estimateWhole(
  context: Pick<AgentContext, 'layout' | 'settings'>,
  { contentId }: UpdateRequest,
  tarball: Preflight['tarball'],
  unpacked: UnpackedSize,
): FetchEstimate {
  const rooms = surveyRooms(context, { fetchBytes: tarball.sizeBytes - tarball.haveBytes, ...unpacked });
  const stop = tooLargeUnpacked(context, contentId, unpacked) ?? lackOfRoom(`fetch '${contentId}'`, rooms);
  return { tarball, unpacked, rooms, ...(stop === undefined ? {} : { refusal: stop }) };
}

async function estimateChunks(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'installed'>,
  item: Item,
  inspection: ChunkedInspection,
): Promise<FetchEstimate> {
  const { contentId } = item.request;
  const chunks = await assessChunks(context, item, inspection);
  const unpacked = sizeByIndex(inspection.index);
  const rooms = surveyRooms(context, {
    fetchBytes: chunks.patch?.fetchBytes ?? 0,
    ...unpacked,
    haveBytes: chunks.stagedBytes,
  });
  const stop =
    tooLargeUnpacked(context, contentId, unpacked) ??
    chunks.refusal ??
    lackOfRoom(`fetch '${contentId}'`, rooms);
  const haveBytes = chunks.sizeBytes - chunks.fetchBytes - inspection.fetchedBytes;
  return {
    tarball: { sizeBytes: chunks.sizeBytes, haveBytes },
    unpacked,
    inspection,
    chunks,
    rooms,
    ...(stop === undefined ? {} : { refusal: stop }),
  };
}

/** Where the network fails, nothing is known for now: the download itself will tell. */
async function tryInspectItem(context: Context, item: Item): Promise<ItemInspection | GweError | undefined> {
  const { request } = item;
  try {
    const inspection = await inspectItem(context, item, { ...DEFAULT_RETRY_POLICY, tries: 1 });
    if (inspection.kind === 'chunks') {
      createAdmission(context, { name: request.app, version: request.version })(inspection.index);
      return knownBad(context, request, ({ digest }) => digest === inspection.index.digest) ?? inspection;
    }
    return inspection;
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
  context: Pick<AgentContext, 'settings'>,
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

/** Faults that the content area's info alone shows: a digest other than requested, or bytes that failed before. */
function refusalOf(
  context: Pick<AgentContext, 'installed' | 'clock' | 'settings'>,
  { request, info }: Item,
): GweError | undefined {
  const { expectedSha256, contentId } = request;
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
    request,
    (refusal) => isSameItem(refusal.content, info) && refusal.contentId === contentId,
  );
}

/** Whether the content area tells of this digest, of the tarball or of its manifest. */
function isTold(info: ContentInfo, sha256: string): boolean {
  return info.digest?.hex === sha256 || parseManifestDigest(info.meta) === sha256;
}

function tooLargeUnpacked(
  context: Pick<AgentContext, 'settings'>,
  id: string,
  unpacked: UnpackedSize,
): GweError | undefined {
  const limit = context.settings().maxUnpackedBytes;
  if (unpacked.unpackedBytes <= limit) return undefined;
  return new GweError(
    'ARTIFACT_LIMIT',
    `cannot fetch '${id}': at least ${unpacked.unpackedBytes} bytes unpacked, expected at most ${limit} (max_unpacked_bytes)`,
  );
}

export function factsOf({ sizeBytes, updated, meta }: ContentInfo): ContentFacts {
  return { sizeBytes, updated, meta };
}

function isSameItem(known: ContentFacts | undefined, found: ContentFacts): boolean {
  return known?.sizeBytes === found.sizeBytes && known.updated === found.updated && known.meta === found.meta;
}

function isThere(context: Pick<AgentContext, 'layout'>, app: string, record: VersionRecord): boolean {
  const directory = versionDirectory(context.layout, app, record);
  return ['install.sh', 'setup.py'].some(
    (name) => statSync(join(directory, name), { throwIfNoEntry: false })?.isFile() === true,
  );
}
