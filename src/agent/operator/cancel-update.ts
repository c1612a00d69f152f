/**
 * `gwe cancel`: ends updates that have not begun activating, whichever process works on them and whatever they wait
 * for.
 */
import { matchArtifactName } from '../../artifact/name.ts';
import { GweError } from '../../base/errors.ts';
import { askToCancel, forgetCancel } from '../../store/cancel.ts';
import { type CommandEntry, createCommandStore, entryId } from '../../store/command.ts';
import { appendHistory, type HistoryEntry, readHistory } from '../../store/history.ts';
import type { Transaction } from '../../update/journal.ts';
import { resumeTransaction } from '../../update/runner.ts';
import type { UpdateState } from '../../update/state-machine.ts';
import { composeRunner } from '../effects/compose-runner.ts';
import { reportEntry } from '../reports/entry-report.ts';
import type { AgentContext } from '../run/context.ts';
import { type LockWait, withTransactionLock } from '../run/transaction-lock.ts';

/** From `activating` on the new version is the active one: undoing it is a rollback. */
const BEFORE_ACTIVATING: readonly UpdateState[] = [
  'planned',
  'downloading',
  'verified',
  'staged',
  'promoted',
  'installing',
];

export interface Cancellation {
  app: string;
  version: string;
  tx: string;
  /** How it ended; absent if it goes on because it was too late. */
  end?: HistoryEntry;
}

/**
 * All updates, or those of `app`: the one under way, and those of the same command whose turn has not come. Throws
 * STORE_IO where there is none, STORE_LOCKED where who works on it does not end it in time: it stays asked for.
 */
export async function cancelUpdates(
  context: AgentContext,
  app: string | undefined,
  wait: LockWait,
): Promise<Cancellation[]> {
  const targets = findTargets(context, app);
  if (targets.length === 0) throw nothingToCancel(app);
  askToCancel(
    context.layout,
    targets.filter(({ isTooLate }) => !isTooLate).map(({ tx }) => tx),
  );
  return withTransactionLock(context, () => endAll(context, targets), wait);
}

interface Target {
  tx: string;
  app: string;
  version: string;
  /** What a command says of one that has not begun. */
  entry?: CommandEntry;
  isTooLate: boolean;
}

function findTargets(context: Pick<AgentContext, 'layout' | 'journal'>, app: string | undefined): Target[] {
  const open = openUpdate(context);
  const begun: Target[] =
    open === undefined
      ? []
      : [{ tx: open.id, app: open.app, version: open.version, isTooLate: !mayCancel(open) }];
  const command = createCommandStore(context.layout.command).read().current;
  const pending = (command?.entries ?? []).flatMap((entry, index): Target[] => {
    const tx = command === undefined ? '' : entryId(command, index);
    const named = entry.log === undefined ? matchArtifactName(entry.contentId) : undefined;
    const isOver = index < (command?.next ?? 0) || tx === open?.id || endOf(context, tx) !== undefined;
    return isOver || named === undefined
      ? []
      : [{ tx, app: named.name, version: named.version, entry, isTooLate: false }];
  });
  return [...begun, ...pending].filter((target) => app === undefined || target.app === app);
}

function openUpdate({ journal }: Pick<AgentContext, 'journal'>): Transaction | undefined {
  const open = journal.read();
  return open === undefined || open.closed ? undefined : open;
}

function mayCancel({ state }: Transaction): boolean {
  return BEFORE_ACTIVATING.includes(state);
}

/** With the lock: nobody else works on them now, and what has begun meanwhile was told to end. */
async function endAll(context: AgentContext, targets: readonly Target[]): Promise<Cancellation[]> {
  try {
    for (const target of targets) {
      const open = openUpdate(context);
      if (open?.id === target.tx && mayCancel(open)) await endOpen(context, open);
      else if (open?.id !== target.tx && endOf(context, target.tx) === undefined) endPending(context, target);
    }
  } finally {
    forgetCancel(context.layout);
  }
  return targets.map(({ tx, app, version }) => {
    const end = endOf(context, tx);
    return { tx, app, version, ...(end === undefined ? {} : { end }) };
  });
}

async function endOpen(context: AgentContext, { id }: Transaction): Promise<void> {
  const runner = composeRunner(context, undefined, new AbortController().signal, AbortSignal.abort());
  await resumeTransaction(runner);
  if (context.budget.waiting()?.tx === id) context.budget.clearWait();
}

/** In the history it counts as ended for whoever works off the command. */
function endPending(
  context: Pick<AgentContext, 'layout' | 'clock' | 'log' | 'settings' | 'device' | 'outbox' | 'clockFloor'>,
  { tx, app, version, entry }: Target,
): void {
  if (entry === undefined) return;
  const reason = `'${entry.contentId}' was cancelled on the gateway before its turn`;
  const end = { outcome: 'failed-no-change', code: 'CANCELLED', reason } as const;
  reportEntry(context, tx, entry, end);
  const nowMs = context.clock.wallMs();
  const times = { startedAtMs: nowMs, endedAtMs: nowMs, bytesFetched: 0 };
  appendHistory(context.layout, { tx, app, version, ...times, ...end });
}

function endOf(context: Pick<AgentContext, 'layout'>, tx: string): HistoryEntry | undefined {
  return readHistory(context.layout).find((entry) => entry.tx === tx);
}

function nothingToCancel(app: string | undefined): GweError {
  const what = app === undefined ? 'no update' : `no update of '${app.slice(0, 70)}'`;
  return new GweError(
    'STORE_IO',
    `cannot cancel: ${what} is under way or waits on this gateway; see 'gwe history' for how the last updates ended`,
  );
}
