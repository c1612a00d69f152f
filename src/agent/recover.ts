/** What gwe does about updates without the platform's help: after a crash, and while it rests between check-ins. */
import { describeError, GweError } from '../base/errors.ts';
import { createBallast } from '../store/ballast.ts';
import { listDownloads } from '../store/downloads.ts';
import { sweep } from '../store/versions.ts';
import type { AgentContext } from './context.ts';
import { awaitsCheckIn } from './self-update.ts';

/** Finishes or undoes what a power cut or kill left in the middle; needs no platform. */
export async function recover(context: AgentContext, signal: AbortSignal): Promise<void> {
  takeRoom(context);
  try {
    const open = context.journal.read();
    sweep(context.layout, open === undefined || open.closed ? undefined : open.id);
    await sweepLeft(context, open === undefined ? [] : [open.contentId]);
    if (open === undefined) return;
    const { composeRunner, resumeTransaction, withTransactionLock } = await loadRunner();
    // A power cut may have come between the end and the clean-up.
    if (open.closed) composeRunner(context, undefined, signal).ports.cleanUp(open);
    if (open.closed || open.state === 'planned' || open.state === 'downloading') return;
    if (awaitsCheckIn(context, open)) return;
    const runner = composeRunner(context, undefined, signal);
    await withTransactionLock(context, () => resumeTransaction(runner));
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof GweError && error.code === 'JOURNAL_UNREADABLE') {
      context.log.error('journal.set-aside', { kept: context.journal.setAside() }, describeError(error));
    } else {
      context.log.error('agent.recover', {}, describeError(error));
    }
  }
}

/** What carries out updates is half of gwe: a start that has none to look after does not load it. */
async function loadRunner() {
  const parts = [import('../update/runner.ts'), import('./compose-runner.ts'), import('./work.ts')] as const;
  const [runner, composed, work] = await Promise.all(parts);
  return { ...runner, ...composed, ...work };
}

async function sweepLeft(context: AgentContext, keep: readonly string[]): Promise<void> {
  if (listDownloads(context.layout).length === 0) return;
  const { sweepDownloads } = await import('./spare.ts');
  sweepDownloads(context, keep);
}

/** Without it a failure is told like everything else: when there is space. */
function takeRoom(context: AgentContext): void {
  try {
    context.outbox.prepare();
    createBallast(context.layout.ballast).take();
  } catch (error) {
    context.log.warn('report.no-room', {}, describeError(error));
  }
}

/** Takes back accepted updates whose program has begun to loop. True if there was one: its report is waiting. */
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
        if (context.watcher.isWatched(transaction.id)) await reopenTransaction(transaction, message, runner);
      });
    }
    return true;
  } catch (error) {
    if (!signal.aborted) context.log.error('watch.failed', {}, describeError(error));
    return false;
  }
}
