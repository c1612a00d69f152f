/** The first half of an update: plan, download, unpack into staging, promote. Nothing that runs is touched. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type ArtifactContents, extractArtifact } from '../artifact/extract.ts';
import { assertLayout } from '../artifact/layout.ts';
import { type ArtifactLimits, DEFAULT_LIMITS } from '../artifact/limits.ts';
import { RESERVED_APP_NAME } from '../artifact/name.ts';
import type { ContentFacts, VersionRecord } from '../artifact/record.ts';
import { GweError } from '../base/errors.ts';
import { diskSpace, ensureDirectory } from '../base/fs.ts';
import {
  type ContentApi,
  type ContentInfo,
  contentInfo,
  type Digest,
  downloadContent,
  verifyFileDigest,
} from '../protocol/content.ts';
import { removePartialFile } from '../protocol/partial-file.ts';
import { versionDirectory } from '../store/layout.ts';
import { promote, resetStaging } from '../store/versions.ts';
import type { Transaction } from '../update/journal.ts';
import type { EffectContext, EffectResult, UpdateEffects } from '../update/ports.ts';
import { REINSTALLED } from '../update/runner.ts';
import type { AgentContext } from './context.ts';
import { readProgram } from './programs.ts';

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
  if (transaction.app === RESERVED_APP_NAME) {
    throw new GweError(
      'ARTIFACT_REFUSED',
      "cannot install 'gwe': the name is reserved for gwe's own update, which this version does not do yet",
    );
  }
  const { active, previous } = context.installed.get(transaction.app);
  const learnt: Partial<Transaction> = active === undefined ? {} : { previous: active };
  if (transaction.source.kind === 'previous') {
    if (previous === undefined) throw noPrevious(transaction.app);
    return reuse(context, transaction, previous, learnt);
  }
  if (transaction.source.kind === 'file') {
    requireSpace(context, transaction.contentId, 0);
    return { event: 'done', learnt };
  }
  const info = await requireContent(context, content, effect);
  const facts = factsOf(info);
  const isAsked = holdsAsked(transaction, info);
  refuseKnownBad(
    context,
    transaction,
    (refusal) => sameFacts(refusal.content, facts) && refusal.contentId === transaction.contentId,
  );
  if (
    isAsked &&
    active?.contentId === transaction.contentId &&
    sameFacts(active.content, facts) &&
    isThere(context, transaction.app, active)
  ) {
    const reused = await reuse(context, transaction, active, learnt);
    return {
      ...reused,
      learnt: { ...reused.learnt, content: facts, notes: [...transaction.notes, REINSTALLED] },
    };
  }
  requireSpace(context, transaction.contentId, facts.sizeBytes);
  return { event: 'done', learnt: { ...learnt, content: facts } };
}

/**
 * Whether the item has the digest that the command asks for, as far as its info tells. Throws DOWNLOAD_DIGEST where
 * that says another one: not a byte needs to be fetched to know.
 */
function holdsAsked({ expectedSha256, contentId }: Transaction, info: ContentInfo): boolean {
  if (expectedSha256 === undefined) return true;
  if (info.digest?.algorithm !== 'sha256') return false;
  if (info.digest.hex === expectedSha256) return true;
  throw new GweError(
    'DOWNLOAD_DIGEST',
    `cannot fetch '${contentId}': the content area has sha256 ${info.digest.hex}, expected ${expectedSha256} (the command)`,
  );
}

/** What the content area says of the tarball; checks its size before a byte is fetched. */
async function requireContent(
  context: AgentContext,
  content: ContentApi | undefined,
  effect: EffectContext,
): Promise<ContentInfo> {
  const id = effect.transaction.contentId;
  const info = await contentInfo(requireApi(content), id, effect.signal);
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

async function reuse(
  context: AgentContext,
  transaction: Transaction,
  record: VersionRecord,
  learnt: Partial<Transaction>,
): Promise<EffectResult> {
  const directory = versionDirectory(context.layout, transaction.app, record.version, record.digest);
  const program = await readProgram(context, transaction.app, directory, 'before-install');
  return {
    event: 'skip-fetch',
    learnt: { ...learnt, digest: record.digest, hasProgram: program !== undefined },
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
  const info = await requireContent(context, content, effect);
  requireSpace(context, transaction.contentId, info.sizeBytes);
  ensureDirectory(context.layout.downloadsDirectory);
  const file = downloadFile(context, transaction);
  const fetched = await downloadContent(requireApi(content), {
    id: transaction.contentId,
    partialFile: file,
    expected: info,
    maxBytes: context.settings().maxArtifactBytes,
    signal,
    log: context.log.with({ tx: transaction.id }),
  });
  await verifyDigests(file, [info.digest, commandDigest(transaction)], signal);
  const bytesFetched = transaction.bytesFetched + fetched.bytesFetched;
  return { event: 'done', learnt: { content: factsOf(info), bytesFetched } };
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

function factsOf(info: ContentInfo): ContentFacts {
  return { sizeBytes: info.sizeBytes, updated: info.updated, meta: info.meta };
}

/** Unpacks into a fresh staging directory and checks everything before anything of it can run. */
async function unpack(context: AgentContext, effect: EffectContext): Promise<EffectResult> {
  const { transaction, signal } = effect;
  const file = tarballFile(context, transaction);
  if (!existsSync(file)) throw new GweError('STORE_IO', `cannot unpack '${file}': it is gone`);
  const staging = resetStaging(context.layout, transaction.app, transaction.id);
  try {
    const contents = await extractWithin(context, file, staging, signal);
    assertLayout(contents);
    refuseKnownBad(context, transaction, (refusal) => refusal.digest === contents.digest);
    const root = join(staging, contents.rootPrefix);
    const program = await readProgram(context, transaction.app, root, 'before-install');
    for (const warning of program?.warnings ?? []) {
      context.log.warn(
        'artifact.program',
        { tx: transaction.id, app: transaction.app, line: warning.line },
        warning.message,
      );
    }
    return {
      event: 'done',
      learnt: { digest: contents.digest, rootPrefix: contents.rootPrefix, hasProgram: program !== undefined },
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
  signal: AbortSignal,
): Promise<ArtifactContents> {
  const settings = context.settings();
  const freeBytes = Math.max(0, diskSpace(staging).freeBytes - settings.diskReserveBytes);
  const limits: ArtifactLimits = {
    ...DEFAULT_LIMITS,
    compressedBytes: settings.maxArtifactBytes,
    unpackedBytes: Math.min(settings.maxUnpackedBytes, freeBytes),
    entries: settings.maxEntries,
  };
  try {
    return await extractArtifact(file, staging, { limits, signal });
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
  return { event: 'done' };
}

/** Where the tarball of a transaction is read from. */
function tarballFile(context: AgentContext, transaction: Transaction): string {
  return transaction.source.kind === 'file' ? transaction.source.path : downloadFile(context, transaction);
}

/** One partial file per content id, so that a command sent again goes on where the last one stopped. */
export function downloadFile(context: AgentContext, transaction: Pick<Transaction, 'contentId'>): string {
  return join(context.layout.downloadsDirectory, transaction.contentId);
}

function requireSpace(context: AgentContext, contentId: string, sizeBytes: number): void {
  const { freeBytes, freeInodes, countsInodes } = diskSpace(context.layout.downloadsDirectory);
  const needed = sizeBytes + context.settings().diskReserveBytes;
  if (freeBytes < needed) throw noSpace(`fetch '${contentId}'`, freeBytes, needed);
  if (countsInodes && freeInodes < 16)
    throw new GweError(
      'STORE_NO_SPACE',
      `cannot fetch '${contentId}': ${freeInodes} inodes free, expected 16`,
    );
}

function noSpace(what: string, freeBytes: number, needed: number | undefined, cause?: unknown): GweError {
  const expected = needed === undefined ? 'more' : `${needed} with the reserve`;
  return new GweError(
    'STORE_NO_SPACE',
    `cannot ${what}: ${freeBytes} bytes free on the disk, expected ${expected}; nothing was changed`,
    cause === undefined ? {} : { cause },
  );
}

function refuseKnownBad(
  context: AgentContext,
  transaction: Transaction,
  matches: (refusal: { contentId: string; digest: string; content?: ContentFacts | undefined }) => boolean,
): void {
  const refusal = context.installed
    .get(transaction.app)
    .refused.find((known) => known.commandDigest === transaction.commandDigest && matches(known));
  if (refusal === undefined) return;
  throw new GweError(
    'ARTIFACT_REFUSED',
    `cannot install '${transaction.contentId}' again: the same command failed with the same bytes (${refusal.reason}); ` +
      'upload a mended tarball, or add any key to the command ("id": 2) to try it once more',
  );
}

function sameFacts(known: ContentFacts | undefined, found: ContentFacts): boolean {
  return known?.sizeBytes === found.sizeBytes && known.updated === found.updated && known.meta === found.meta;
}

function isThere(context: AgentContext, app: string, record: VersionRecord): boolean {
  const directory = versionDirectory(context.layout, app, record.version, record.digest);
  return ['install.sh', 'setup.py'].some(
    (name) => statSync(join(directory, name), { throwIfNoEntry: false })?.isFile() === true,
  );
}

function requireApi(content: ContentApi | undefined): ContentApi {
  if (content !== undefined) return content;
  throw new GweError('PROTOCOL_OFFLINE', 'cannot fetch: this run has no platform to fetch from');
}

function noPrevious(app: string): GweError {
  return new GweError('STORE_IO', `cannot go back with '${app}': the gateway has no earlier version of it`);
}
