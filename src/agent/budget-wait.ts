/** An update that waits for the data budget: told once, left alone at every check-in until its bytes fit. */
import { GweError } from '../base/errors.ts';
import { renderFetchStatus } from '../protocol/messages.ts';
import type { Transaction } from '../update/journal.ts';
import type { CommandStore } from './command.ts';
import type { AgentContext } from './context.ts';

/** Whether the open update still waits, so that not even a question about it is worth its bytes. */
export function isHeldBack(context: AgentContext, commands: CommandStore): boolean {
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
export function noteWait(context: AgentContext, error: unknown): boolean {
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

function renderWait(context: AgentContext, open: Transaction, error: GweError): string {
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
      phase: open.state,
      code: error.code,
      reason: error.message,
    },
    context.settings().fetchStatusFormat === 'text' ? 'text' : 'json',
    context.settings().maxReportBytes,
  );
}

/** What the report of an update says about the budget; nothing where there is none. */
export function budgetNotes(context: AgentContext, way: 'full' | 'delta', bytes: number): string[] {
  const state = context.budget.state();
  if (state === undefined) return [];
  return [
    `data budget: ${way}, ${bytes} bytes; ${state.leftBytes} of ${state.limitBytes} were left until ${state.until}`,
  ];
}
