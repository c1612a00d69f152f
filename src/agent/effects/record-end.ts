/** The end of a transaction: what is installed now, the history, the report; then the clean-up. */
import type { VersionRecord } from '../../artifact/record.ts';
import { describeError } from '../../base/errors.ts';
import { removeScriptFiles } from '../../base/script-process.ts';
import { createBallast } from '../../store/ballast.ts';
import { appendHistory } from '../../store/history.ts';
import { type InstalledApp, withRefusal } from '../../store/installed.ts';
import { sweep } from '../../store/versions.ts';
import type { Transaction } from '../../update/journal.ts';
import type { UpdatePorts } from '../../update/ports.ts';
import { outcomeOf } from '../../update/runner.ts';
import { signersOf } from '../admission/ways-back.ts';
import { sweepDownloads } from '../preflight/make-room.ts';
import { isStillCurrent, report, reportParked } from '../reports/fetch-status.ts';
import type { AgentContext } from '../run/context.ts';
import { warnMounted } from '../run/mounted.ts';
import { keepLastFailed, keepLastTried, pruneVersions, removeCancelled, removeDownload } from './clean-up.ts';

export function createEndPorts(
  context: Pick<
    AgentContext,
    | 'layout'
    | 'clock'
    | 'log'
    | 'settings'
    | 'device'
    | 'installed'
    | 'outbox'
    | 'watcher'
    | 'parked'
    | 'clockFloor'
  >,
): Pick<UpdatePorts, 'recordEnd' | 'makeRoom' | 'cleanUp'> {
  const { watcher } = context;
  const ballast = createBallast(context.layout.ballast);
  return {
    recordEnd(transaction) {
      if (transaction.state === 'parked') {
        park(context, transaction);
        return;
      }
      // Where the disk is full the rest has to wait; the report of it does not.
      if (transaction.state !== 'committed') report(context, transaction);
      recordInstalled(context, transaction);
      if (transaction.state === 'committed') watcher.open(transaction);
      else if (transaction.state !== 'failed') watcher.end(transaction.app);
      appendHistory(context.layout, historyEntry(transaction));
      if (transaction.state === 'committed') report(context, transaction);
      noteUnparked(context, transaction);
    },
    makeRoom() {
      try {
        const isReleased = ballast.release();
        if (isReleased)
          context.log.warn('store.ballast', {}, 'the disk is full: the space reserved for this is used');
        return isReleased;
      } catch (error) {
        context.log.warn('store.ballast', {}, describeError(error));
        return false;
      }
    },
    cleanUp(transaction) {
      removeDownload(context, transaction);
      if (transaction.state === 'parked') {
        ballast.take();
        return;
      }
      removeScriptFiles(context.layout.scriptsDirectory, undefined);
      warnMounted(context, sweep(context.layout, undefined));
      if (transaction.state === 'committed') context.clockFloor.save();
      if (transaction.state === 'committed') pruneVersions(context, transaction.app);
      if (transaction.state === 'rolled-back') keepLastFailed(context, transaction);
      if (transaction.state === 'failed')
        (transaction.isCancelled === true ? removeCancelled : keepLastTried)(context, transaction);
      const isDone = transaction.state === 'committed' && transaction.source.kind === 'content';
      sweepDownloads(context, [transaction.contentId], isDone ? transaction.app : undefined);
      ballast.take();
    },
  };
}

function park(
  context: Pick<AgentContext, 'log' | 'settings' | 'outbox' | 'parked'>,
  transaction: Transaction,
): void {
  const { id, app, version, digest, hasProgram = false, content, notes, unpackNote } = transaction;
  if (digest === undefined) return;
  const { bytesFetched, bytesFull, bytesReused, requests, fetchMs } = transaction;
  const fetched = { bytesFetched, bytesFull, bytesReused, requests, fetchMs };
  context.parked.park(id, { app, version, digest, hasProgram, content, notes, unpackNote, ...fetched });
  const { reason = '', untilS } = transaction.parks ?? {};
  if (reason === '') return;
  context.log.info('command.waits', { tx: id, app, version, until: untilS }, reason);
  reportParked(context, transaction);
}

/** All that is left to do of it is what its group wants of it. */
function noteUnparked({ parked }: Pick<AgentContext, 'parked'>, transaction: Transaction): void {
  const { id, state, isTogether = false } = transaction;
  if (!isTogether) parked.forget(id);
  else if (state === 'committed') parked.accept(transaction);
  else if (parked.accepted(id) !== undefined) parked.noteTakenBack(id);
}

function recordInstalled(
  context: Pick<AgentContext, 'layout' | 'installed' | 'log' | 'settings'>,
  transaction: Transaction,
): void {
  const { digest, app } = transaction;
  if (digest === undefined) return;
  const record = stayed(context, transaction, digest) ?? context.installed.get(app);
  if (transaction.state === 'committed') {
    const active = withSigners(context, record, app, activeRecord(transaction, digest));
    // The same bytes under another version are another version.
    const isSame = transaction.previous?.digest === digest && transaction.previous.version === active.version;
    const previous = isSame ? record.previous : transaction.previous;
    const refused = record.refused.filter((refusal) => refusal.digest !== digest);
    context.installed.set(app, { active, refused, ...(previous === undefined ? {} : { previous }) });
  } else if (wasAccepted(transaction) && transaction.state === 'rolled-back') {
    context.installed.set(app, takenBack(record, transaction));
  } else if (isBadArtifact(transaction)) {
    context.installed.set(
      app,
      withRefusal(isStillCurrent(context, transaction) ? record : takenBack(record, transaction), {
        contentId: transaction.contentId,
        digest,
        commandDigest: transaction.commandDigest,
        failedAtMs: transaction.endedAtMs ?? transaction.startedAtMs,
        reason: transaction.failure?.message.slice(0, 300) ?? 'it failed',
        ...(transaction.content === undefined ? {} : { content: transaction.content }),
      }),
    );
  }
}

/** The record where a rollback failed before it could take the link back: the new version is the active one. */
function stayed(
  context: Pick<AgentContext, 'layout' | 'installed'>,
  transaction: Transaction,
  digest: string,
): InstalledApp | undefined {
  if (!isStillCurrent(context, transaction)) return undefined;
  const { app, previous } = transaction;
  const { refused } = context.installed.get(app);
  const active = activeRecord(transaction, digest);
  const record = { active, refused, ...(previous === undefined ? {} : { previous }) };
  context.installed.set(app, record);
  return record;
}

/** Taken back for no fault of its own. */
function wasAccepted({ failure, previous, digest }: Transaction): boolean {
  return failure?.code === 'COMMAND_TOGETHER' && previous?.digest !== digest;
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

/** With the keys that vouch for it now, and those that did when the same bytes were committed before. */
function withSigners(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings'>,
  { active, previous }: InstalledApp,
  app: string,
  record: VersionRecord,
): VersionRecord {
  const before = [active, previous].find((one) => one?.digest === record.digest)?.signers;
  const signers = signersOf(context, { app, ...record, signers: before });
  return signers.length === 0 ? record : { ...record, signers };
}

/** The app itself failed, not the network, the disk, supervisord or an interruption. */
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
    contentId: transaction.contentId,
    ...(transaction.digest === undefined ? {} : { digest: transaction.digest }),
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
