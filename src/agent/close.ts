/** The end of a transaction: what is installed now, the history, the report; then the clean-up. */
import { join } from 'node:path';
import { RESERVED_APP_NAME } from '../artifact/name.ts';
import type { VersionRecord } from '../artifact/record.ts';
import { describeError } from '../base/errors.ts';
import { readLink } from '../base/fs.ts';
import { renderFetchStatus } from '../protocol/messages.ts';
import { createBallast } from '../store/ballast.ts';
import { type InstalledApp, withRefusal } from '../store/installed.ts';
import { currentLink, previousLink, versionDirectoryName, versionOfDirectory } from '../store/layout.ts';
import { prune, removeParts, sweep } from '../store/versions.ts';
import type { Transaction } from '../update/journal.ts';
import type { UpdatePorts } from '../update/ports.ts';
import { isRejection, outcomeOf, REINSTALLED } from '../update/runner.ts';
import { type Failing, renderFailure } from './capsule.ts';
import { removeDownloads } from './chunk-look.ts';
import type { AgentContext } from './context.ts';
import { appendHistory, readHistory } from './history.ts';
import { failedVersions, removeVersions, sweepDownloads } from './spare.ts';

export function createClosing(context: AgentContext): Omit<UpdatePorts, 'effects'> {
  const { watcher } = context;
  const ballast = createBallast(context.layout.ballast);
  return {
    close(transaction) {
      // Where the disk is full the rest has to wait; the report of it does not.
      if (transaction.state !== 'committed') report(context, transaction);
      recordInstalled(context, transaction);
      if (transaction.state === 'committed') watcher.open(transaction);
      else if (transaction.state !== 'failed') watcher.end(transaction.app);
      appendHistory(join(context.layout.stateDirectory, 'history.json'), historyEntry(transaction));
      if (transaction.state === 'committed') report(context, transaction);
    },
    makeRoom() {
      try {
        const isReleased = ballast.release();
        if (isReleased)
          context.log.warn('store.ballast', {}, 'the disk is full: the room kept for this is used');
        return isReleased;
      } catch (error) {
        context.log.warn('store.ballast', {}, describeError(error));
        return false;
      }
    },
    cleanUp(transaction) {
      removeDownload(context, transaction);
      sweep(context.layout, undefined);
      if (transaction.state === 'committed') context.clockFloor.save();
      if (transaction.state === 'committed') pruneVersions(context, transaction.app);
      if (transaction.state === 'rolled-back') keepLastFailed(context, transaction);
      const isDone = transaction.state === 'committed' && transaction.source.kind === 'content';
      sweepDownloads(context, [transaction.contentId], isDone ? transaction.app : undefined);
      ballast.take();
    },
  };
}

function recordInstalled(context: AgentContext, transaction: Transaction): void {
  const { digest, app } = transaction;
  if (digest === undefined) return;
  const record = stayed(context, transaction, digest) ?? context.installed.get(app);
  if (transaction.state === 'committed') {
    const active = activeRecord(transaction, digest);
    // The same bytes under another version are another version.
    const isSame = transaction.previous?.digest === digest && transaction.previous.version === active.version;
    const previous = isSame ? record.previous : transaction.previous;
    const refused = record.refused.filter((refusal) => refusal.digest !== digest);
    context.installed.set(app, { active, refused, ...(previous === undefined ? {} : { previous }) });
  } else if (isBadArtifact(transaction)) {
    context.installed.set(
      app,
      withRefusal(isStillCurrent(context, transaction) ? record : takenBack(record, transaction), {
        contentId: transaction.contentId,
        digest,
        commandDigest: transaction.commandDigest,
        reason: transaction.failure?.message.slice(0, 300) ?? 'it failed',
        ...(transaction.content === undefined ? {} : { content: transaction.content }),
      }),
    );
  }
}

/** The record where a rollback failed before it could take the link back: the new version is the active one. */
function stayed(context: AgentContext, transaction: Transaction, digest: string): InstalledApp | undefined {
  if (!isStillCurrent(context, transaction)) return undefined;
  const { app, previous } = transaction;
  const { refused } = context.installed.get(app);
  const active = activeRecord(transaction, digest);
  const record = { active, refused, ...(previous === undefined ? {} : { previous }) };
  context.installed.set(app, record);
  return record;
}

/** Whether `current` points at what a failed rollback should have taken back. */
function isStillCurrent(context: AgentContext, transaction: Transaction): boolean {
  const { state, app, version, digest, previous } = transaction;
  if (state !== 'rollback-failed' || digest === undefined || digest === previous?.digest) return false;
  return readLink(currentLink(context.layout, app)) === versionDirectoryName(version, digest);
}

/** A version that was accepted and then failed within its watch window is not the active one any more. */
function takenBack(record: InstalledApp, transaction: Transaction): InstalledApp {
  if (transaction.state === 'failed' || record.active?.digest !== transaction.digest) return record;
  const { previous } = transaction;
  return { refused: record.refused, ...(previous === undefined ? {} : { active: previous }) };
}

function activeRecord(transaction: Transaction, digest: string): VersionRecord {
  return {
    version: transaction.version,
    digest,
    contentId: transaction.contentId,
    hasProgram: transaction.hasProgram === true,
    installedAtMs: transaction.endedAtMs ?? transaction.startedAtMs,
    ...(transaction.content === undefined ? {} : { content: transaction.content }),
  };
}

/** The app failed by its own doing: not by the network, the disk, supervisord's absence or an interruption. */
function isBadArtifact(transaction: Transaction): boolean {
  const isRerun = transaction.previous?.digest === transaction.digest;
  const code = transaction.failure?.code;
  return (
    !isRerun && (code === 'INSTALL_FAILED' || code === 'INSTALL_TIMEOUT' || code === 'SUPERVISOR_UNHEALTHY')
  );
}

function historyEntry(transaction: Transaction) {
  return {
    tx: transaction.id,
    app: transaction.app,
    version: transaction.version,
    outcome: outcomeOf(transaction),
    startedAtMs: transaction.startedAtMs,
    endedAtMs: transaction.endedAtMs ?? transaction.startedAtMs,
    ...fetchedFacts(transaction),
    ...(transaction.previous === undefined ? {} : { from: transaction.previous.version }),
    ...(transaction.failure === undefined
      ? {}
      : { code: transaction.failure.code, reason: transaction.failure.message }),
  };
}

/** What fetching it took, as far as there was something to fetch. */
function fetchedFacts({ bytesFetched, bytesFull, bytesReused, requests, fetchMs }: Transaction) {
  return {
    bytesFetched,
    ...(bytesFull === undefined ? {} : { bytesFull }),
    ...(bytesReused === undefined ? {} : { bytesReused }),
    ...(requests === undefined ? {} : { requests }),
    ...(fetchMs === undefined ? {} : { fetchMs }),
  };
}

/** Idempotent. A failure comes through on a full disk too. */
function report(context: AgentContext, transaction: Transaction): void {
  const status = statusOf(context, transaction);
  const { id, contentId, expectedSha256, urgent, failure } = transaction;
  if (transaction.state === 'committed') {
    const { fetchStatusFormat, maxReportBytes } = context.settings();
    const format = fetchStatusFormat === 'text' ? 'text' : 'json';
    context.outbox.put(id, 'fetch_status', renderFetchStatus(status, format, maxReportBytes));
    return;
  }
  const failing = {
    status,
    asked: { id: contentId, sha256: expectedSha256, urgent },
    causes: failure?.causes,
  };
  context.outbox.putFailure(id, 'fetch_status', (sequence) => renderFailure(context, failing, sequence));
}

function statusOf(context: AgentContext, transaction: Transaction): Failing['status'] {
  const outcome = outcomeOf(transaction);
  const { failure, rollbackFailure } = transaction;
  const isGood = transaction.state === 'committed';
  return {
    name: transaction.app,
    version: transaction.version,
    status: isGood ? 'success' : 'failure',
    exitcode: transaction.exitCode ?? (isGood ? 0 : -1),
    test: failure?.code.startsWith('ARTIFACT_') === true ? failure.message : 'passed',
    info: transaction.output ?? '',
    outcome,
    tx: transaction.id,
    active: activeVersion(context, transaction),
    bytes: transaction.bytesFetched,
    ...renderFetched(transaction),
    notes: transaction.notes.filter((note) => note !== REINSTALLED || outcome === 'unchanged'),
    ...(failure === undefined ? {} : { code: failure.code, phase: failure.state, reason: failure.message }),
    ...(rollbackFailure === undefined ? {} : { rollback: rollbackFailure.message }),
  };
}

function renderFetched({ bytesFull, bytesReused, requests, fetchMs }: Transaction) {
  if (bytesFull === undefined) return {};
  return {
    bytes_full: bytesFull,
    bytes_reused: bytesReused ?? 0,
    requests: requests ?? 0,
    seconds: Math.round((fetchMs ?? 0) / 100) / 10,
  };
}

/** The version that `current` points at after this transaction. */
function activeVersion(context: AgentContext, transaction: Transaction): string {
  const isNew = transaction.state === 'committed' || isStillCurrent(context, transaction);
  if (isNew) return transaction.version;
  if (transaction.previous !== undefined || transaction.state !== 'failed')
    return transaction.previous?.version ?? '';
  // Refused before it was known what it would have replaced: that goes on all the same.
  const current = readLink(currentLink(context.layout, transaction.app));
  return current === undefined ? '' : versionOfDirectory(current);
}

/** A finished or hopeless download goes; one that a network fault cut short stays for the next command. */
function removeDownload(context: AgentContext, transaction: Transaction): void {
  const { failure, app, source } = transaction;
  const isWorthKeeping = failure?.state === 'downloading' && !isRejection(failure);
  if (source.kind !== 'content' || isWorthKeeping) return;
  removeDownloads(context, transaction);
  if (transaction.state !== 'failed' || isRejection(failure)) removeParts(context.layout, app);
}

/**
 * A version that was taken back stays until the next success: the mended one is fetched by what it has in common with it,
 * and people may look into it. One is enough; where room is short even that goes (`findSpare`).
 */
function keepLastFailed(context: AgentContext, { app, version, digest, previous }: Transaction): void {
  if (digest === undefined) return;
  const own = versionDirectoryName(version, digest);
  const isRefused = context.installed.get(app).refused.some((refusal) => refusal.digest === digest);
  const failed = failedVersions(context, app).filter((name) => name !== own);
  removeVersions(context, app, failed);
  // Taken back for no fault of its own: nothing says later that it was.
  if (!isRefused) removeUnused(context, app, own, previous);
}

function removeUnused(
  context: AgentContext,
  app: string,
  name: string,
  before: VersionRecord | undefined,
): void {
  const { active, previous } = context.installed.get(app);
  const isKept = [active, previous, before].some(
    (record) => record !== undefined && versionDirectoryName(record.version, record.digest) === name,
  );
  const isCurrent = readLink(currentLink(context.layout, app)) === name;
  if (!isKept && !isCurrent && app !== RESERVED_APP_NAME) removeVersions(context, app, [name]);
}

function pruneVersions(context: AgentContext, app: string): void {
  removeVersions(context, app, failedVersions(context, app));
  const { active, previous } = context.installed.get(app);
  const keep = [active, previous].flatMap((record) =>
    record === undefined ? [] : [versionDirectoryName(record.version, record.digest)],
  );
  const fallback = app === RESERVED_APP_NAME ? readLink(previousLink(context.layout, app)) : undefined;
  if (fallback !== undefined) keep.push(fallback);
  const order = readHistory(join(context.layout.stateDirectory, 'history.json'))
    .filter((entry) => entry.app === app)
    .map((entry) => entry.version);
  const removed = prune(context.layout, app, keep, context.settings().keepVersions, order);
  if (removed.length > 0) context.log.info('store.prune', { app, removed: removed.join(',') });
}
