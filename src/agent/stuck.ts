/** An update that a full disk keeps from going on: told once, in room taken before; it goes on when there is space. */
import { describeError, GweError } from '../base/errors.ts';
import type { Transaction } from '../update/journal.ts';
import { renderFailure } from './capsule.ts';
import type { AgentContext } from './context.ts';

/** To be called with what has stopped the work of a check-in. Never throws. */
export function noteStuck(context: AgentContext, error: unknown): void {
  if (!(error instanceof GweError) || error.code !== 'STORE_NO_SPACE') return;
  try {
    const open = context.journal.read();
    if (open === undefined || open.closed) return;
    const render = (sequence: number): string => renderStuck(context, open, error, sequence);
    context.outbox.putFailure(`${open.id}-stuck`, 'fetch_status', render);
  } catch (second) {
    context.log.warn('report.no-room', {}, describeError(second));
  }
}

function renderStuck(context: AgentContext, open: Transaction, error: GweError, sequence: number): string {
  const status = {
    name: open.app,
    version: open.version,
    status: 'waiting',
    exitcode: open.exitCode ?? -1,
    test: '',
    info: open.output ?? '',
    outcome: 'waiting',
    tx: open.id,
    code: error.code,
    phase: open.state,
    reason: error.message,
  };
  const asked = { id: open.contentId, sha256: open.expectedSha256, urgent: open.urgent };
  return renderFailure(context, { status, asked }, sequence);
}
