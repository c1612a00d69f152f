/** The first half of an update: plan, download, unpack into staging, promote. Nothing that runs is touched. */
import { existsSync } from 'node:fs';
import { type ArtifactContents, extractArtifact, type ReadOptions } from '../artifact/extract.ts';
import type { ArtifactLimits } from '../artifact/limits.ts';
import { KEYS_APP_NAME, RESERVED_APP_NAME } from '../artifact/name.ts';
import type { VersionRecord } from '../artifact/record.ts';
import { GweError } from '../base/errors.ts';
import { diskSpace, ensureDirectory, readLink } from '../base/fs.ts';
import {
  type ContentApi,
  type ContentInfo,
  type Digest,
  downloadContent,
  parseMetaDigest,
  verifyFileDigest,
} from '../protocol/content.ts';
import { RangesIgnored } from '../protocol/content-part.ts';
import { partialBytes, removePartialFile } from '../protocol/partial-file.ts';
import { currentLink, versionDirectory, versionDirectoryName } from '../store/layout.ts';
import { finishPart, openPart, promote, removeParts, resetStaging } from '../store/versions.ts';
import type { Transaction } from '../update/journal.ts';
import type { EffectContext, EffectResult, UpdateEffects } from '../update/ports.ts';
import { REINSTALLED } from '../update/runner.ts';
import { acceptTree, pinsManifest } from './accept-tree.ts';
import { indexFile } from './asked.ts';
import { budgetNotes } from './budget-wait.ts';
import { type ChunkLook, downloadChunks, refuseWhole, treeBytes } from './chunk-download.ts';
import { ChunkDamaged, type FeedCounts } from './chunk-feed.ts';
import { keepHead, type Look, lookAtItem, removeDownloads } from './chunk-look.ts';
import type { AgentContext } from './context.ts';
import { scriptUser } from './install-script.ts';
import { artifactLimits } from './limits.ts';
import { measureIndex } from './measure.ts';
import { keepPatch, removePatch } from './patch-offer.ts';
import { downloadFile, factsOf, type Preflight, requireApi, requireContent } from './preflight.ts';
import { readProgram } from './programs.ts';
import { requireLauncher } from './self-update.ts';
import { lackOfRoom, surveyRooms } from './space.ts';
import { preflightWithRoom } from './spare.ts';
import { checkOnDisk, createAdmission, noteNoWayBack } from './trust.ts';

type FetchEffects = Pick<UpdateEffects, 'planned' | 'downloading' | 'verified' | 'staged'>;

/** `content` is absent where there is no platform to fetch from (a local install). */
export function createFetchEffects(context: AgentContext, content: ContentApi | undefined): FetchEffects {
  return {
    planned: (effect) => plan(context, content, effect),
    downloading: (effect) => download(context, content, effect),
    verified: (effect) => unpack(context, effect),
    staged: (effect) => promoteStaged(context, effect.transaction),
  };
}

async function plan(
  context: AgentContext,
  content: ContentApi | undefined,
  effect: EffectContext,
): Promise<EffectResult> {
  const { transaction } = effect;
  context.ledger.flush();
  if (transaction.app === RESERVED_APP_NAME) requireLauncher(context);
  const found = await preflightWithRoom(context, content, transaction, effect.signal);
  const learnt: Partial<Transaction> = found.active === undefined ? {} : { previous: found.active };
  if (found.refusal !== undefined) throw found.refusal;
  // Now, while nothing has been touched: a user that does not exist must not cost a rollback.
  scriptUser(context);
  if (found.action === 'roll-back' && found.present !== undefined)
    return reuse(context, transaction, found.present, learnt);
  const facts = {
    ...(found.info === undefined ? {} : { content: factsOf(found.info) }),
    ...keepLook(context, transaction, found),
  };
  if (found.action === 'rerun' && found.present !== undefined) {
    const notes = [...transaction.notes, REINSTALLED];
    return reuse(context, transaction, found.present, { ...learnt, ...facts, notes });
  }
  const noWayBack =
    found.active === undefined || [RESERVED_APP_NAME, KEYS_APP_NAME].includes(transaction.app)
      ? undefined
      : noteNoWayBack(context, { app: transaction.app, ...found.active });
  const notes = noWayBack === undefined ? {} : { notes: [...transaction.notes, noWayBack] };
  return { event: 'done', learnt: { ...learnt, ...facts, ...notes } };
}

/** What was fetched to look ahead is kept, so that it is not fetched again. */
function keepLook(
  context: AgentContext,
  transaction: Transaction,
  { look, info, chunks }: Preflight,
): Partial<Transaction> {
  if (look === undefined || info === undefined) return {};
  keepHead(context, transaction, info, look);
  if (chunks?.patch !== undefined) keepPatch(context, transaction, chunks.patch);
  return {
    bytesFetched: transaction.bytesFetched + look.fetchedBytes + (chunks?.asked.fetchedBytes ?? 0),
    requests: (transaction.requests ?? 0) + look.requests + (chunks?.asked.requests ?? 0),
    ...(look.kind === 'whole' ? { wholeReason: look.reason } : {}),
  };
}

async function reuse(
  context: AgentContext,
  transaction: Transaction,
  record: VersionRecord,
  learnt: Partial<Transaction>,
): Promise<EffectResult> {
  const directory = versionDirectory(context.layout, transaction.app, record.version, record.digest);
  const changed = checkOnDisk(context, { app: transaction.app, ...record });
  const program = await readProgram(context, transaction.app, directory, 'before-install');
  const notes = [...(learnt.notes ?? transaction.notes), ...(changed === undefined ? [] : [changed])];
  return {
    event: 'skip-fetch',
    learnt: {
      ...learnt,
      notes,
      digest: record.digest,
      hasProgram: program !== undefined,
      ...(record.content === undefined ? {} : { content: record.content }),
    },
  };
}

/** Fetches what the content area holds now; bytes of an earlier try are used if they are of the same item. */
async function download(
  context: AgentContext,
  content: ContentApi | undefined,
  effect: EffectContext,
): Promise<EffectResult> {
  const { transaction, signal } = effect;
  if (transaction.source.kind === 'file') return { event: 'done' };
  const api = requireApi(content);
  const tally = createTally(context, effect);
  try {
    const info =
      justAsked(transaction) ?? (await requireContent(context, api, transaction.contentId, signal));
    const known = justAsked(transaction) === undefined ? undefined : transaction.wholeReason;
    const look = known === undefined ? await lookAgain(context, api, transaction, info, signal) : undefined;
    tally.counts.fetchedBytes += look?.fetchedBytes ?? 0;
    tally.counts.requests += look?.requests ?? 0;
    if (look !== undefined) keepHead(context, transaction, info, look);
    if (look?.kind === 'chunks') {
      const done = await downloadByChunks(context, api, effect, info, look, tally.counts).catch(
        (error: unknown) => {
          if (error instanceof RangesIgnored) return undefined;
          throw error;
        },
      );
      if (done !== undefined) return { event: 'done', learnt: { ...done, ...tally.end(info, 'delta') } };
    }
    const reason = look?.kind === 'whole' ? look.reason : look === undefined ? (known ?? '') : RANGES_IGNORED;
    await downloadWhole(context, api, effect, info, reason, tally.counts);
    return { event: 'done', learnt: { content: factsOf(info), ...tally.end(info, 'full') } };
  } catch (error) {
    effect.record(tally.facts());
    throw error;
  }
}

const RANGES_IGNORED = 'the platform ignores ranges';

/** What has been fetched by now, also when it ends badly. */
function createTally(context: AgentContext, { transaction }: EffectContext) {
  const startedMs = context.clock.monotonicMs();
  const counts: FeedCounts = { requests: 0, fetchedBytes: 0, reusedBytes: 0, changedChunks: 0 };
  const facts = () => ({
    bytesFetched: transaction.bytesFetched + counts.fetchedBytes,
    requests: (transaction.requests ?? 0) + counts.requests,
    fetchMs: Math.round((transaction.fetchMs ?? 0) + context.clock.monotonicMs() - startedMs),
  });
  const end = (info: ContentInfo, way: 'full' | 'delta'): FetchFacts => ({
    ...facts(),
    bytesFull: info.sizeBytes,
    bytesReused: Math.max(0, way === 'full' ? 0 : info.sizeBytes - facts().bytesFetched),
    notes: [
      ...transaction.notes,
      ...(counts.note === undefined || way === 'full' ? [] : [counts.note]),
      ...budgetNotes(context, way, counts.fetchedBytes),
    ],
  });
  return { counts, facts, end };
}

type FetchFacts = Partial<
  Pick<Transaction, 'bytesFetched' | 'bytesFull' | 'bytesReused' | 'requests' | 'fetchMs' | 'notes'>
>;

/** `undefined` where a whole download has begun already, or there is nothing left to be fetched. */
async function lookAgain(
  context: AgentContext,
  api: ContentApi,
  transaction: Transaction,
  info: ContentInfo,
  signal: AbortSignal,
): Promise<Look | undefined> {
  const { contentId: id } = transaction;
  if (partialBytes(downloadFile(context, transaction), { id, ...info }) > 0) return undefined;
  return lookAtItem(context, api, transaction, info, { signal });
}

/** By its chunks, straight into what becomes the staging directory. Throws RangesIgnored where only the whole is to be had. */
async function downloadByChunks(
  context: AgentContext,
  api: ContentApi,
  { transaction, signal }: EffectContext,
  info: ContentInfo,
  look: ChunkLook,
  counts: FeedCounts,
): Promise<Partial<Transaction>> {
  const { app, contentId } = transaction;
  const part = openPart(context.layout, app, look.index.digest, transaction.id);
  const measure = measureIndex(look.index);
  const rooms = surveyRooms(context, { fetchBytes: 0, ...measure, haveBytes: treeBytes(part) });
  const refusal = lackOfRoom(`fetch '${contentId}'`, rooms);
  if (refusal !== undefined) throw refusal;
  try {
    const contents = await downloadChunks(context, api, transaction, look, { part, signal, counts });
    const learnt = await acceptTree(context, transaction, part, contents, look.index.digest);
    finishPart(context.layout, app, part, transaction.id);
    removePartialFile(indexFile(context, transaction));
    removePatch(context, transaction);
    return { content: factsOf(info), ...learnt, isUnpacked: true };
  } catch (error) {
    if (error instanceof ChunkDamaged) await assertSameItem(context, api, transaction, info, signal);
    if (error instanceof GweError && error.isRejection) {
      removeParts(context.layout, app);
      removeDownloads(context, transaction);
    }
    throw error;
  }
}

/** Throws DOWNLOAD_CHANGED where other bytes are there under the same id since they were asked for. */
async function assertSameItem(
  context: AgentContext,
  api: ContentApi,
  transaction: Transaction,
  info: ContentInfo,
  signal: AbortSignal,
): Promise<void> {
  const { contentId: id } = transaction;
  const now = await requireContent(context, api, id, signal);
  if (now.sizeBytes === info.sizeBytes && now.updated === info.updated) return;
  removeDownloads(context, transaction);
  throw new GweError(
    'DOWNLOAD_CHANGED',
    `cannot download '${id}': it was uploaded anew meanwhile; gwe starts over with the new one`,
  );
}

/** As one tarball, which is unpacked later. */
async function downloadWhole(
  context: AgentContext,
  api: ContentApi,
  { transaction, signal }: EffectContext,
  info: ContentInfo,
  reason: string,
  counts: FeedCounts,
): Promise<void> {
  const { contentId: id } = transaction;
  ensureDirectory(context.layout.downloadsDirectory);
  const file = downloadFile(context, transaction);
  const fetchBytes = info.sizeBytes - partialBytes(file, { id, ...info });
  const refusal =
    lackOfRoom(`fetch '${id}'`, surveyRooms(context, { fetchBytes, unpackedBytes: 0, entries: 0 })) ??
    (reason === '' ? undefined : refuseWhole(context, transaction, fetchBytes, reason));
  if (refusal !== undefined) throw refusal;
  context.budget.require(`fetch '${id}'`, fetchBytes, transaction.urgent === true);
  const log = context.log.with({ tx: transaction.id });
  log.info('download.whole', { id, sizeBytes: info.sizeBytes, fetchBytes }, reason);
  await downloadContent(api, {
    id,
    partialFile: file,
    expected: info,
    maxBytes: context.settings().maxArtifactBytes,
    signal,
    log,
    onFetched(bytes) {
      counts.fetchedBytes += bytes;
    },
    onRequest() {
      counts.requests += 1;
    },
    onProgress: (doneBytes, totalBytes) =>
      context.progress.move({ tx: transaction.id, state: 'downloading', doneBytes, totalBytes }),
  });
  const pinned = pinsManifest(transaction, info) ? undefined : commandDigest(transaction);
  await verifyDigests(file, [info.digest, pinned], signal);
}

/** What `planned` was told a moment ago; after a pause or a restart the item may be another. */
function justAsked({ content, deferrals, resumes }: Transaction): ContentInfo | undefined {
  if (content === undefined || deferrals > 0 || resumes > 0) return undefined;
  const digest = parseMetaDigest(content.meta);
  return { type: '', ...content, ...(digest === undefined ? {} : { digest }) };
}

/** Bytes with a wrong digest are thrown away: going on from them would never end well. */
async function verifyDigests(
  file: string,
  digests: (Digest | undefined)[],
  signal: AbortSignal,
): Promise<void> {
  for (const digest of digests) {
    try {
      if (digest !== undefined) await verifyFileDigest(file, digest, signal);
    } catch (error) {
      if (error instanceof GweError && error.code === 'DOWNLOAD_DIGEST') removePartialFile(file);
      throw error;
    }
  }
}

function commandDigest(transaction: Transaction): Digest | undefined {
  const hex = transaction.expectedSha256;
  return hex === undefined ? undefined : { algorithm: 'sha256', hex };
}

/** Unpacks into a fresh staging directory and checks everything before anything of it can run. */
async function unpack(context: AgentContext, effect: EffectContext): Promise<EffectResult> {
  const { transaction, signal } = effect;
  if (transaction.isUnpacked === true) return { event: 'done' };
  const file = tarballFile(context, transaction);
  if (!existsSync(file)) throw new GweError('STORE_IO', `cannot unpack '${file}': it is gone`);
  const staging = resetStaging(context.layout, transaction.app, transaction.id);
  try {
    const contents = await extractWithin(context, file, staging, {
      signal,
      admit: createAdmission(context, { name: transaction.app, version: transaction.version }),
      onProgress: (doneBytes, totalBytes) =>
        context.progress.move({ tx: transaction.id, state: 'verified', doneBytes, totalBytes }),
    });
    return {
      event: 'done',
      learnt: await acceptTree(context, transaction, staging, contents, contents.digest),
    };
  } catch (error) {
    resetStaging(context.layout, transaction.app, transaction.id);
    if (error instanceof GweError && error.isRejection && transaction.source.kind === 'content')
      removePartialFile(file);
    throw error;
  }
}

/** The disk is a limit like the others: what is not free cannot be unpacked, and the reserve stays free. */
async function extractWithin(
  context: AgentContext,
  file: string,
  staging: string,
  options: Pick<ReadOptions, 'signal' | 'admit' | 'onProgress'>,
): Promise<ArtifactContents> {
  const settings = context.settings();
  const freeBytes = Math.max(0, diskSpace(staging).freeBytes - settings.diskReserveBytes);
  const limits: ArtifactLimits = {
    ...artifactLimits(settings),
    unpackedBytes: Math.min(settings.maxUnpackedBytes, freeBytes),
  };
  try {
    return await extractArtifact(file, staging, { ...options, limits, isDurable: true });
  } catch (error) {
    const isFull =
      error instanceof GweError && error.code === 'ARTIFACT_LIMIT' && freeBytes < settings.maxUnpackedBytes;
    if (!isFull || diskSpace(staging).freeBytes > limits.unpackedBytes) throw error;
    throw noSpace(`unpack '${file}'`, freeBytes, undefined, error);
  }
}

async function promoteStaged(context: AgentContext, transaction: Transaction): Promise<EffectResult> {
  const { app, version, digest, rootPrefix = '' } = transaction;
  if (digest === undefined) throw new GweError('STORE_IO', 'cannot promote: the journal holds no digest');
  promote(context.layout, { app, version, digest, transactionId: transaction.id, rootPrefix });
  // The tree of the active version stays where it is, and has not been read for a while.
  if (readLink(currentLink(context.layout, app)) === versionDirectoryName(version, digest))
    checkOnDisk(context, { app, version, digest });
  return { event: 'done' };
}

/** Where the tarball of a transaction is read from. */
function tarballFile(context: AgentContext, transaction: Transaction): string {
  return transaction.source.kind === 'file' ? transaction.source.path : downloadFile(context, transaction);
}

function noSpace(what: string, freeBytes: number, needed: number | undefined, cause?: unknown): GweError {
  const expected = needed === undefined ? 'more' : `${needed} with the reserve`;
  return new GweError(
    'STORE_NO_SPACE',
    `cannot ${what}: ${freeBytes} bytes free on the disk, expected ${expected}; nothing was changed`,
    cause === undefined ? {} : { cause },
  );
}
