/** An update that waits for the data budget: reported once, then left alone until its bytes fit. */
import { GweError } from '../../base/errors.ts';
import { renderFetchStatus } from '../../protocol/messages.ts';
import type { CommandStore } from '../../store/command.ts';
import type { Transaction } from '../../update/journal.ts';
import type { AgentContext } from '../run/context.ts';

/** Whether the open update still waits, so that not even a request about it is worth its bytes. */
export function isHeldBack(
  context: Pick<AgentContext, 'log' | 'journal' | 'budget'>,
  commands: CommandStore,
): boolean {
  const { budget } = context;
  const waiting = budget.waiting();
  if (waiting === undefined) return false;
  const open = context.journal.read();
  const command = commands.read().current;
  const isOfNewer = command !== undefined && open !== undefined && !open.id.startsWith(`${command.id}-`);
  if (open?.closed === false && open.id === waiting.tx && !isOfNewer) {
    if (!budget.allows(waiting.neededBytes, waiting.urgent)) return true;
    context.log.info('budget.resume', { tx: waiting.tx, app: waiting.app, version: waiting.version });
  }
  budget.clearWait();
  return false;
}

/** True if `error` means that the open update waits; it has been reported then. */
export function noteWait(
  context: Pick<AgentContext, 'log' | 'settings' | 'journal' | 'outbox' | 'budget'>,
  error: unknown,
): boolean {
  if (!(error instanceof GweError) || error.code !== 'BUDGET_SPENT') return false;
  const open = context.journal.read();
  if (open === undefined || open.closed) return false;
  const { id: tx, app, version, urgent = false } = open;
  const neededBytes = Math.max(1, Number(error.facts.neededBytes ?? 1));
  if (!context.budget.wait({ tx, app, version, neededBytes, urgent })) return true;
  context.log.warn('budget.wait', { tx, app, version, bytes: neededBytes }, error.message);
  context.outbox.put(`${tx}-wait`, 'fetch_status', renderWait(context, open, error));
  return true;
}

function renderWait(context: Pick<AgentContext, 'settings'>, open: Transaction, error: GweError): string {
  return renderFetchStatus(
    {
      name: open.app,
      version: open.version,
      status: 'waiting',
      exitcode: -1,
      test: '',
      info: '',
      outcome: 'waiting',
      tx: open.id,
      ...(open.command === undefined ? {} : { command: open.command }),
      phase: open.state,
      code: error.code,
      reason: error.message,
    },
    context.settings().fetchStatusFormat,
    context.settings().maxReportBytes,
  );
}
