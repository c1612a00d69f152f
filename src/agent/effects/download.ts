/** The bytes of a new version: by its chunks where that is possible, as one tarball where it is not. */
import { GweError } from '../../base/errors.ts';
import { ensureDirectory } from '../../base/fs.ts';
import { downloadContent } from '../../protocol/content.ts';
import { type ContentApi, type ContentInfo, parseMetaDigest } from '../../protocol/content-api.ts';
import { type Digest, verifyFileDigest } from '../../protocol/digest.ts';
import { partialBytes, removePartialFile } from '../../protocol/partial-file.ts';
import { RangesIgnored } from '../../protocol/retry.ts';
import { itemFiles } from '../../store/downloads.ts';
import { finishPart, openPart, removeParts, removeStaging } from '../../store/versions.ts';
import type { Transaction } from '../../update/journal.ts';
import type { EffectContext, EffectResult } from '../../update/ports.ts';
import { acceptTree } from '../admission/accept-tree.ts';
import { ChunkDamaged } from '../fetch/assemble-chunks.ts';
import { refuseWhole } from '../fetch/assess.ts';
import { treeBytes } from '../fetch/chunk-sources.ts';
import { downloadChunks } from '../fetch/download-chunks.ts';
import {
  type ChunkedInspection,
  type ItemInspection,
  inspectItem,
  storeHead,
} from '../fetch/inspect-item.ts';
import { addCounts, contentApiFor, createCounts, type Item } from '../fetch/item.ts';
import { openUnpackBeside } from '../fetch/unpack-beside.ts';
import { factsOf, requireContent } from '../preflight/preflight.ts';
import { lackOfRoom, surveyRooms } from '../preflight/space.ts';
import { sizeByIndex } from '../preflight/unpacked-size.ts';
import type { AgentContext } from '../run/context.ts';
import { requireApi } from '../run/platform-connection.ts';
import { budgetNotes } from '../traffic/budget.ts';

/** Fetches what the content area holds now; bytes of an earlier try are used if they are of the same item. */
export async function download(
  context: AgentContext,
  content: ContentApi | undefined,
  effect: EffectContext,
): Promise<EffectResult> {
  const { transaction, signal } = effect;
  if (transaction.source.kind === 'file') return { event: 'done' };
  const api = requireApi(content);
  const tally = createTally(context, effect);
  try {
    const planned = infoOfPlan(transaction);
    const info = planned ?? (await requireContent(context, api, transaction.contentId, signal));
    const { counts } = tally;
    const onProgress = (doneBytes: number, totalBytes: number): void =>
      context.progress.move({ tx: transaction.id, state: 'downloading', doneBytes, totalBytes });
    const item: Item = {
      api: contentApiFor(api, transaction, info),
      request: transaction,
      info,
      signal,
      counts,
      onProgress,
    };
    const wholeReason = planned === undefined ? undefined : transaction.wholeReason;
    const { way, ...learnt } = await fetchItem(context, transaction, item, wholeReason);
    return { event: 'done', learnt: { ...learnt, ...tally.end(info, way) } };
  } catch (error) {
    effect.record(tally.facts());
    throw error;
  }
}

type Way = 'full' | 'delta';

/** By its chunks where it has an index and the platform knows ranges; `wholeReason`: why not, as the plan found. */
async function fetchItem(
  context: AgentContext,
  transaction: Transaction,
  item: Item,
  wholeReason: string | undefined,
): Promise<Partial<Transaction> & { way: Way }> {
  const inspection = wholeReason === undefined ? await inspectAgain(context, item) : undefined;
  let reason = inspection?.kind === 'whole' ? inspection.reason : (wholeReason ?? '');
  if (inspection?.kind === 'chunks') {
    try {
      return { ...(await downloadByChunks(context, transaction, item, inspection)), way: 'delta' };
    } catch (error) {
      if (!(error instanceof RangesIgnored)) throw error;
      reason = RANGES_IGNORED;
    }
  }
  const learnt = await downloadWhole(context, transaction, item, reason);
  return { content: factsOf(item.info), ...learnt, way: 'full' };
}

const RANGES_IGNORED = 'the platform ignores ranges';

/** What has been fetched so far, even if it fails. */
function createTally(context: Pick<AgentContext, 'clock' | 'budget'>, { transaction }: EffectContext) {
  const startedMs = context.clock.monotonicMs();
  const counts = createCounts();
  const facts = () => ({
    bytesFetched: transaction.bytesFetched + counts.fetchedBytes,
    requests: (transaction.requests ?? 0) + counts.requests,
    fetchMs: Math.round((transaction.fetchMs ?? 0) + context.clock.monotonicMs() - startedMs),
  });
  const end = (info: ContentInfo, way: Way): FetchFacts => ({
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
async function inspectAgain(
  context: Pick<
    AgentContext,
    'layout' | 'clock' | 'log' | 'gweVersion' | 'settings' | 'installed' | 'clockFloor'
  >,
  item: Item,
): Promise<ItemInspection | undefined> {
  const { contentId: id } = item.request;
  if (partialBytes(itemFiles(context.layout, id).whole, { id, ...item.info }) > 0) return undefined;
  const inspection = await inspectItem(context, item);
  addCounts(item.counts, inspection);
  storeHead(context, item, inspection);
  return inspection;
}

/**
 * By its chunks, straight into what becomes the staging directory. Throws RangesIgnored where only the whole file can
 * be had.
 */
async function downloadByChunks(
  context: AgentContext,
  transaction: Transaction,
  item: Item,
  inspection: ChunkedInspection,
): Promise<Partial<Transaction>> {
  const { app, contentId } = transaction;
  const { digest } = inspection.index;
  const files = itemFiles(context.layout, contentId);
  const part = openPart(context.layout, app, digest, transaction.id);
  const size = sizeByIndex(inspection.index);
  const rooms = surveyRooms(context, { fetchBytes: 0, ...size, haveBytes: treeBytes(part) });
  const refusal = lackOfRoom(`fetch '${contentId}'`, rooms);
  if (refusal !== undefined) throw refusal;
  try {
    const contents = await downloadChunks(context, item, inspection, part);
    const learnt = await acceptTree(context, transaction, { directory: part, contents, digest });
    finishPart(context.layout, app, part, transaction.id);
    for (const path of [files.index, files.patch]) removePartialFile(path);
    return { content: factsOf(item.info), ...learnt, isUnpacked: true };
  } catch (error) {
    if (error instanceof ChunkDamaged) await assertSameItem(context, item);
    if (error instanceof GweError && error.isRejection) {
      removeParts(context.layout, app);
      files.remove();
    }
    throw error;
  }
}

/** Throws DOWNLOAD_CHANGED where other bytes are there under the same id since the content area told of them. */
async function assertSameItem(
  context: Pick<AgentContext, 'layout' | 'settings'>,
  { api, request, info, signal }: Item,
): Promise<void> {
  const { contentId: id } = request;
  const now = await requireContent(context, api, id, signal);
  if (now.sizeBytes === info.sizeBytes && now.updated === info.updated) return;
  itemFiles(context.layout, id).remove();
  throw new GweError(
    'DOWNLOAD_CHANGED',
    `cannot download '${id}': it was replaced meanwhile; gwe starts over with the new one`,
  );
}

/** As one tarball. It is unpacked meanwhile where all of it is fetched now, else later: then nothing is learnt. */
async function downloadWhole(
  context: AgentContext,
  transaction: Transaction,
  item: Item,
  reason: string,
): Promise<Partial<Transaction>> {
  const { info, signal } = item;
  const { contentId: id } = transaction;
  ensureDirectory(context.layout.downloadsDirectory);
  const file = itemFiles(context.layout, id).whole;
  const fetchBytes = info.sizeBytes - partialBytes(file, { id, ...info });
  const refusal =
    lackOfRoom(`fetch '${id}'`, surveyRooms(context, { fetchBytes, unpackedBytes: 0, entries: 0 })) ??
    (reason === '' ? undefined : refuseWhole(context, transaction, fetchBytes, reason));
  if (refusal !== undefined) throw refusal;
  context.budget.require(`fetch '${id}'`, fetchBytes, transaction.urgent === true);
  const log = context.log.with({ tx: transaction.id });
  log.info('download.whole', { id, sizeBytes: info.sizeBytes, fetchBytes }, reason);
  const learnt = await fetchWhole(context, transaction, item, file);
  // The command's digest may be of the manifest: it is compared when both are known.
  if (learnt === undefined) await verifyDigest(file, info.digest, signal);
  return learnt ?? {};
}

async function fetchWhole(
  context: AgentContext,
  transaction: Transaction,
  { api, info, signal, counts, onProgress }: Item,
  partialFile: string,
): Promise<Partial<Transaction> | undefined> {
  const { contentId: id } = transaction;
  const isBegun = partialBytes(partialFile, { id, ...info }) > 0;
  const unpacking = isBegun ? undefined : openUnpackBeside(context, transaction, { info });
  // What an earlier try left there takes room.
  if (unpacking === undefined) removeStaging(context.layout, transaction.app, transaction.id);
  let learnt: Partial<Transaction> | undefined;
  const isDone = async (): Promise<boolean> => {
    learnt = await unpacking?.end();
    return learnt !== undefined;
  };
  try {
    await downloadContent(api, {
      id,
      partialFile,
      expected: info,
      maxBytes: context.settings().maxArtifactBytes,
      signal,
      log: context.log.with({ tx: transaction.id }),
      counts,
      beside: unpacking && { write: (piece) => unpacking.write(piece), drop: () => unpacking.drop(), isDone },
      ...(onProgress === undefined ? {} : { onProgress }),
    });
    return learnt;
  } catch (error) {
    unpacking?.drop();
    throw error;
  } finally {
    await unpacking?.close();
  }
}

/** What `planned` was told a moment ago; after a pause or a restart the item may be another. */
function infoOfPlan({ content, deferrals, resumes }: Transaction): ContentInfo | undefined {
  if (content === undefined || deferrals > 0 || resumes > 0) return undefined;
  const digest = parseMetaDigest(content.meta);
  return { type: '', ...content, ...(digest === undefined ? {} : { digest }) };
}

/** Bytes with a wrong digest are thrown away: continuing from them could never succeed. */
async function verifyDigest(file: string, digest: Digest | undefined, signal: AbortSignal): Promise<void> {
  try {
    if (digest !== undefined) await verifyFileDigest(file, digest, signal);
  } catch (error) {
    if (error instanceof GweError && error.code === 'DOWNLOAD_DIGEST') removePartialFile(file);
    throw error;
  }
}
