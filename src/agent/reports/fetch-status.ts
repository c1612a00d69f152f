/** `fetch_status` of one update: how it ended, and what runs now. */
import { readLink } from '../../base/fs.ts';
import { renderFetchStatus } from '../../protocol/messages.ts';
import { currentLink, versionDirectoryName, versionOfDirectory } from '../../store/layout.ts';
import { type Transaction, wholeReason } from '../../update/journal.ts';
import { outcomeOf, REINSTALLED } from '../../update/runner.ts';
import type { AgentContext } from '../run/context.ts';
import { type Failing, renderFailure } from './failure-report.ts';

/** Whether `current` points at what a failed rollback should have taken back. */
export function isStillCurrent(context: Pick<AgentContext, 'layout'>, transaction: Transaction): boolean {
  const { state, app, version, digest, previous } = transaction;
  if (state !== 'rollback-failed' || digest === undefined || digest === previous?.digest) return false;
  return readLink(currentLink(context.layout, app)) === versionDirectoryName({ version, digest });
}

/** Idempotent. A failure comes through on a full disk too. */
export function report(
  context: Pick<AgentContext, 'layout' | 'clock' | 'settings' | 'device' | 'outbox' | 'clockFloor'>,
  transaction: Transaction,
): void {
  const status = statusOf(context, transaction);
  const { id, contentId, expectedSha256, urgent, failure } = transaction;
  if (transaction.state === 'committed') {
    const { fetchStatusFormat, maxReportBytes } = context.settings();
    context.outbox.put(id, 'fetch_status', renderFetchStatus(status, fetchStatusFormat, maxReportBytes));
    return;
  }
  const failing = {
    status,
    asked: { id: contentId, sha256: expectedSha256, urgent },
    causes: failure?.causes,
  };
  context.outbox.putFailure(id, 'fetch_status', (sequence) => renderFailure(context, failing, sequence));
}

/** It is here, and waits for its time. Idempotent. */
export function reportParked(
  context: Pick<AgentContext, 'settings' | 'outbox'>,
  transaction: Transaction,
): void {
  const { id, app, version, command, parks, bytesFetched } = transaction;
  const { fetchStatusFormat, maxReportBytes } = context.settings();
  const status = {
    name: app,
    version,
    status: 'waiting',
    exitcode: -1,
    test: 'passed',
    info: '',
    outcome: 'waiting',
    tx: id,
    ...(command === undefined ? {} : { command }),
    phase: 'parked',
    code: 'COMMAND_WAITS',
    reason: parks?.reason ?? '',
    ...(parks?.untilS === undefined ? {} : { until: parks.untilS }),
    bytes: bytesFetched,
    ...renderFetched(transaction),
  };
  context.outbox.put(
    `${id}-wait`,
    'fetch_status',
    renderFetchStatus(status, fetchStatusFormat, maxReportBytes),
  );
}

function statusOf(context: Pick<AgentContext, 'layout'>, transaction: Transaction): Failing['status'] {
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
    ...(transaction.command === undefined ? {} : { command: transaction.command }),
    active: activeVersion(context, transaction),
    bytes: transaction.bytesFetched,
    ...renderFetched(transaction),
    notes: transaction.notes.filter((note) => note !== REINSTALLED || outcome === 'unchanged'),
    ...(failure === undefined
      ? {}
      : { code: failure.code, phase: failure.state, reason: wholeReason(failure) }),
    ...(rollbackFailure === undefined ? {} : { rollback: wholeReason(rollbackFailure) }),
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
function activeVersion(context: Pick<AgentContext, 'layout'>, transaction: Transaction): string {
  const isNew = transaction.state === 'committed' || isStillCurrent(context, transaction);
  if (isNew) return transaction.version;
  if (transaction.previous !== undefined || transaction.state !== 'failed')
    return transaction.previous?.version ?? '';
  // Refused before it was known what it would have replaced: that goes on all the same.
  const current = readLink(currentLink(context.layout, transaction.app));
  return current === undefined ? '' : versionOfDirectory(current);
}
