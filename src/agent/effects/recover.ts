/** What gwe does about updates without the platform's help: after a crash, and while it rests between check-ins. */
import { describeError, GweError } from '../../base/errors.ts';
import { removeScriptFiles } from '../../base/script-process.ts';
import { createBallast } from '../../store/ballast.ts';
import { listDownloads } from '../../store/downloads.ts';
import { sweep } from '../../store/versions.ts';
import type { Transaction } from '../../update/journal.ts';
import type { RunnerDependencies } from '../../update/runner.ts';
import type { AgentContext } from '../run/context.ts';
import { warnMounted } from '../run/mounted.ts';
import { restoreAllData } from '../run/restore-data.ts';
import { awaitsCheckIn } from '../self/awaits-check-in.ts';

/** Finishes or undoes what a power cut or kill left in the middle; needs no platform. */
export async function recover(context: AgentContext, signal: AbortSignal): Promise<void> {
  takeRoom(context);
  try {
    await restoreAllData(context);
    const open = context.journal.read();
    const swept = sweep(context.layout, open === undefined || open.closed ? undefined : open.id);
    warnMounted(context, swept);
    await sweepLeft(context, open === undefined ? [] : [open.contentId]);
    removeScriptFiles(context.layout.scriptsDirectory, open?.script?.id);
    if (open === undefined || open.closed) await repairLeft(context);
    if (open === undefined) return;
    const { composeRunner, resumeTransaction, withTransactionLock } = await loadRunner();
    // A power cut may have come between the end and the clean-up.
    if (open.closed) composeRunner(context, undefined, signal).ports.cleanUp(open);
    const needsPlatform =
      (open.state === 'planned' || open.state === 'downloading') && open.staged === undefined;
    if (open.closed || needsPlatform) return;
    if (awaitsCheckIn(context, open)) return;
    const runner = composeRunner(context, undefined, signal);
    await withTransactionLock(context, () => resumeTransaction(runner));
  } catch (error) {
    if (signal.aborted) return;
    // The check-in that follows puts it aside, and reports it.
    if (error instanceof GweError && error.code === 'JOURNAL_UNREADABLE') return;
    context.log.error('agent.recover', {}, describeError(error));
  }
}

async function repairLeft(context: AgentContext): Promise<void> {
  if (!Object.values(context.installed.all()).some(({ active }) => active?.hasProgram === true)) return;
  const { repairPrograms } = await import('./repair-programs.ts');
  await repairPrograms(context);
}

/** What carries out updates is half of gwe: a start that has none to look after does not load it. */
async function loadRunner() {
  const parts = [
    import('../../update/runner.ts'),
    import('./compose-runner.ts'),
    import('../run/transaction-lock.ts'),
  ] as const;
  const [runner, composed, lock] = await Promise.all(parts);
  return { ...runner, ...composed, ...lock };
}

/** What was installed together with one that loops goes back with it, as far as it is watched still. */
async function takeBackTogether(
  context: Pick<AgentContext, 'watcher'>,
  looper: Transaction,
  runner: RunnerDependencies,
): Promise<void> {
  if (looper.isTogether !== true) return;
  const command = looper.id.slice(0, looper.id.lastIndexOf('-'));
  const { reopenTransaction } = await import('../../update/runner.ts');
  for (const transaction of context.watcher.watched().reverse()) {
    const isOfIt = transaction.isTogether === true && transaction.id.startsWith(`${command}-`);
    if (!isOfIt || transaction.id === looper.id) continue;
    const message = `taken back: '${looper.app}' of the same command does not stay up`;
    await reopenTransaction(transaction, { code: 'COMMAND_TOGETHER', message }, runner);
  }
}

async function sweepLeft(
  context: Pick<AgentContext, 'layout' | 'clock' | 'clockFloor'>,
  keep: readonly string[],
): Promise<void> {
  if (listDownloads(context.layout).length === 0) return;
  const { sweepDownloads } = await import('../preflight/make-room.ts');
  sweepDownloads(context, keep);
}

/** Without it a failure is reported like everything else: when there is space. */
function takeRoom(context: Pick<AgentContext, 'layout' | 'log' | 'outbox'>): void {
  try {
    context.outbox.prepare();
    createBallast(context.layout.ballast).take();
  } catch (error) {
    context.log.warn('report.no-room', {}, describeError(error));
  }
}

/**
 * Rolls back accepted updates whose program has begun to crash in a loop. True if there was one: its report is
 * waiting.
 */
export async function takeBackLoopers(context: AgentContext, signal: AbortSignal): Promise<boolean> {
  try {
    const loopers = await context.watcher.look();
    if (loopers.length === 0) return false;
    const { composeRunner, reopenTransaction, withTransactionLock } = await loadRunner();
    const runner = composeRunner(context, undefined, signal);
    for (const { transaction, reason } of loopers) {
      context.log.warn(
        'watch.loop',
        { tx: transaction.id, app: transaction.app, version: transaction.version },
        reason,
      );
      const message = `program '${transaction.app}' does not stay up: ${reason}`;
      await withTransactionLock(context, async () => {
        // A command line may have updated the app while we looked.
        if (!context.watcher.isWatched(transaction.id)) return;
        await reopenTransaction(transaction, { code: 'SUPERVISOR_UNHEALTHY', message }, runner);
        await takeBackTogether(context, transaction, runner);
      });
    }
    return true;
  } catch (error) {
    if (!signal.aborted) context.log.error('watch.failed', {}, describeError(error));
    return false;
  }
}
