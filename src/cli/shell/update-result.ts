/** How a finished update is shown to a person and to a program. */
import type { Outcome } from '../../base/errors.ts';
import { readLink } from '../../base/fs.ts';
import { currentLink, type Layout, versionOfDirectory } from '../../store/layout.ts';
import { type Transaction, wholeReason } from '../../update/journal.ts';
import { outcomeOf } from '../../update/runner.ts';
import type { CommandIo } from './command.ts';
import { printParagraph } from './screen.ts';

export interface UpdateResult {
  app: string;
  appVersion: string;
  outcome: Outcome;
  /** Id of the transaction; absent if none began. */
  tx?: string;
  /** The version that was active before. */
  from?: string;
  /** The version that `current` points at now. */
  active?: string;
  exitCode?: number;
  /** The end of what install.sh printed. */
  output?: string;
  notes: readonly string[];
  code?: string;
  reason?: string;
}

export function updateResult(layout: Layout, transaction: Transaction): UpdateResult {
  const { previous, failure, rollbackFailure, exitCode, output } = transaction;
  const outcome = outcomeOf(transaction);
  const current = readLink(currentLink(layout, transaction.app));
  const reason = [failure, rollbackFailure].flatMap((one) => (one === undefined ? [] : wholeReason(one)));
  return {
    app: transaction.app,
    appVersion: transaction.version,
    outcome,
    tx: transaction.id,
    notes: transaction.notes,
    ...(previous === undefined ? {} : { from: previous.version }),
    ...(current === undefined ? {} : { active: versionOfDirectory(current) }),
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(output === undefined ? {} : { output }),
    ...(failure === undefined ? {} : { code: failure.code, reason: reason.join('; and then: ') }),
  };
}

export function wasInstalled(result: UpdateResult): boolean {
  return result.outcome === 'installed' || result.outcome === 'unchanged';
}

function describeFailure({ code, outcome }: UpdateResult): string {
  if (code !== 'CANCELLED') return outcome.replaceAll('-', ' ');
  if (outcome === 'failed-no-change') return 'cancelled, nothing was changed';
  return outcome === 'rolled-back' ? 'cancelled and undone' : outcome.replaceAll('-', ' ');
}

/** One paragraph on stdout, and what install.sh printed on stderr when it failed. */
export function describeUpdate(io: CommandIo, result: UpdateResult, done = 'installed'): void {
  const isGood = wasInstalled(result);
  const name = `${result.app}${result.appVersion === '' ? '' : ` ${result.appVersion}`}`;
  const was = result.from === undefined || result.from === result.appVersion ? '' : ` (was ${result.from})`;
  const now = isGood || result.active === undefined ? '' : `, ${result.active} is active`;
  const what =
    result.outcome === 'unchanged' ? 'unchanged' : isGood ? `${done}${was}` : describeFailure(result);
  printParagraph(io, `${name}: ${what}${now}${result.reason === undefined ? '' : `: ${result.reason}`}`);
  for (const note of result.notes) printParagraph(io, `  note: ${note}`, 4, 'dim');
  if (isGood || result.output === undefined || result.output.trim() === '') return;
  io.stderr(`${result.output.trimEnd().replace(/^/gm, '  | ')}\n`);
}
