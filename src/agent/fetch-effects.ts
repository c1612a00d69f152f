/** The first half of an update: plan, download, unpack into staging, promote. Nothing that runs is touched. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type ArtifactContents, extractArtifact, type ReadOptions } from '../artifact/extract.ts';
import { assertLayout } from '../artifact/layout.ts';
import type { ArtifactLimits } from '../artifact/limits.ts';
import { KEYS_APP_NAME, RESERVED_APP_NAME } from '../artifact/name.ts';
import type { VersionRecord } from '../artifact/record.ts';
import { GweError } from '../base/errors.ts';
import { diskSpace, ensureDirectory, fsyncTree, readLink } from '../base/fs.ts';
import {
  type ContentApi,
  type ContentInfo,
  type Digest,
  downloadContent,
  parseMetaDigest,
  verifyFileDigest,
} from '../protocol/content.ts';
import { partialBytes, removePartialFile } from '../protocol/partial-file.ts';
import { currentLink, versionDirectory, versionDirectoryName } from '../store/layout.ts';
import { promote, resetStaging } from '../store/versions.ts';
import type { Transaction } from '../update/journal.ts';
import type { EffectContext, EffectResult, UpdateEffects } from '../update/ports.ts';
import { REINSTALLED } from '../update/runner.ts';
import { budgetNotes } from './budget-wait.ts';
import type { AgentContext } from './context.ts';
import { scriptUser } from './install-script.ts';
import { artifactLimits } from './limits.ts';
import { downloadFile, factsOf, knownBad, preflight, requireApi, requireContent } from './preflight.ts';
import { readProgram } from './programs.ts';
import { requireLauncher } from './self-update.ts';
import { lackOfRoom, surveyRooms } from './space.ts';
import { checkOnDisk, createAdmission, noteNoWayBack, rememberRelease } from './trust.ts';

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
  const found = await preflight(context, content, transaction, effect.signal);
  const learnt: Partial<Transaction> = found.active === undefined ? {} : { previous: found.active };
  if (found.refusal !== undefined) throw found.refusal;
  // Now, while nothing has been touched: a user that does not exist must not cost a rollback.
  scriptUser(context);
  if (found.action === 'roll-back' && found.present !== undefined)
    return reuse(context, transaction, found.present, learnt);
  const facts = found.info === undefined ? {} : { content: factsOf(found.info) };
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
  const { contentId: id } = transaction;
  const info = justAsked(transaction) ?? (await requireContent(context, requireApi(content), id, signal));
  ensureDirectory(context.layout.downloadsDirectory);
  const file = downloadFile(context, transaction);
  const fetchBytes = info.sizeBytes - partialBytes(file, { id, ...info });
  const refusal = lackOfRoom(
    `fetch '${id}'`,
    surveyRooms(context, { fetchBytes, unpackedBytes: 0, entries: 0 }),
  );
  if (refusal !== undefined) throw refusal;
  context.budget.require(`fetch '${id}'`, fetchBytes, transaction.urgent === true);
  const budgetTold = budgetNotes(context, 'full', fetchBytes);
  const fetched = await downloadContent(requireApi(content), {
    id,
    partialFile: file,
    expected: info,
    maxBytes: context.settings().maxArtifactBytes,
    signal,
    log: context.log.with({ tx: transaction.id }),
  });
  await verifyDigests(file, [info.digest, commandDigest(transaction)], signal);
  const bytesFetched = transaction.bytesFetched + fetched.bytesFetched;
  const notes = [...transaction.notes, ...budgetTold];
  return { event: 'done', learnt: { content: factsOf(info), bytesFetched, notes } };
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
  const file = tarballFile(context, transaction);
  if (!existsSync(file)) throw new GweError('STORE_IO', `cannot unpack '${file}': it is gone`);
  const staging = resetStaging(context.layout, transaction.app, transaction.id);
  try {
    const contents = await extractWithin(context, file, staging, {
      signal,
      admit: createAdmission(context, { name: transaction.app, version: transaction.version }),
    });
    assertLayout(contents);
    const bad = knownBad(context, transaction, (refusal) => refusal.digest === contents.digest);
    if (bad !== undefined) throw bad;
    const root = join(staging, contents.rootPrefix);
    const program = await readProgram(context, transaction.app, root, 'before-install');
    for (const warning of program?.warnings ?? []) {
      context.log.warn(
        'artifact.program',
        { tx: transaction.id, app: transaction.app, line: warning.line },
        warning.message,
      );
    }
    rememberRelease(context, contents.index);
    // Before the journal says that it is staged: after a power cut nobody looks into it again.
    fsyncTree(staging);
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
  options: Pick<ReadOptions, 'signal' | 'admit'>,
): Promise<ArtifactContents> {
  const settings = context.settings();
  const freeBytes = Math.max(0, diskSpace(staging).freeBytes - settings.diskReserveBytes);
  const limits: ArtifactLimits = {
    ...artifactLimits(settings),
    unpackedBytes: Math.min(settings.maxUnpackedBytes, freeBytes),
  };
  try {
    return await extractArtifact(file, staging, { ...options, limits });
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
