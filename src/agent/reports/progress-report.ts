/** Tells the platform how far an update is that takes long. */
import { GweError } from '../../base/errors.ts';
import { renderFetchStatus } from '../../protocol/messages.ts';
import type { Transaction } from '../../update/journal.ts';
import type { AgentContext } from '../run/context.ts';
import { percentOf, type Step } from '../run/progress.ts';

interface ProgressReports {
  /** The `fetch_status` that is due: at most one in `progress_interval`, none that says what the last one said. */
  next(): string | undefined;
}

/** Reports the progress of updates from now on; none once only the reserve of the data budget is left. */
export function createProgressReports(
  context: Pick<AgentContext, 'clock' | 'settings' | 'journal' | 'budget' | 'progress'>,
): ProgressReports {
  const { clock, progress } = context;
  let lastMs = clock.monotonicMs();
  let lastKey = '';
  return {
    next() {
      const { progressIntervalS } = context.settings();
      if (progressIntervalS === 0 || clock.monotonicMs() - lastMs < progressIntervalS * 1000)
        return undefined;
      const open = openUpdate(context);
      if (open === undefined || context.budget.state()?.isTight === true) return undefined;
      const key = [open.id, open.state, percentOf(open, progress.last())].join();
      if (key === lastKey) return undefined;
      [lastMs, lastKey] = [clock.monotonicMs(), key];
      return render(context, open, progress.last());
    },
  };
}

function openUpdate({ journal }: Pick<AgentContext, 'journal'>): Transaction | undefined {
  try {
    const open = journal.read();
    return open === undefined || open.closed ? undefined : open;
  } catch (error) {
    if (error instanceof GweError) return undefined; // Reported where the journal is needed.
    throw error;
  }
}

function render(context: Pick<AgentContext, 'settings'>, open: Transaction, step: Step | undefined): string {
  const { fetchStatusFormat, maxReportBytes } = context.settings();
  const isCounted = step !== undefined && step.tx === open.id && step.state === open.state;
  const status = {
    name: open.app,
    version: open.version,
    status: 'in progress',
    exitcode: -1,
    test: '',
    info: '',
    outcome: 'in progress',
    tx: open.id,
    ...(open.command === undefined ? {} : { command: open.command }),
    phase: open.state,
    percent: percentOf(open, step),
    ...(isCounted ? { done: step.doneBytes, of: step.totalBytes } : {}),
    since: Math.round(open.startedAtMs / 1000),
  };
  return renderFetchStatus(status, fetchStatusFormat, maxReportBytes);
}
