/**
 * `gwe cancel [APP]`: ends updates that have not begun activating, also those that wait.
 *
 * `--json`: {version, cancelled: [{app, appVersion, tx, outcome, reason}], tooLate: [the same]}; in `tooLate` is what
 * goes on (`outcome` is null) or had ended before. Exit status 1 then.
 */
import { type Cancellation, cancelUpdates } from '../../agent/operator/cancel-update.ts';
import { wakeAgent } from '../../agent/run/running-agent.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { openForUpdate, patience } from '../shell/open-gateway.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { layoutOf } from '../shell/root.ts';
import { printDocument, printParagraph } from '../shell/screen.ts';

export const cancelCommand: CommandSpec = {
  path: ['cancel'],
  positionals: ['[APP]'],
  summary:
    'Cancel the update of an app, or all updates, up to the activation, also one that waits for the network, ' +
    'the data budget or a lease: what it has changed is undone, and the platform is informed',
  options: [JSON_OPTION],
  run: runCancel,
};

async function runCancel(call: CommandCall): Promise<number> {
  const { io, options, positionals } = call;
  const context = openForUpdate(io, layoutOf(io, options));
  const found = await cancelUpdates(context, positionals[0], patience(io));
  const cancelled = found.filter(isCancelled);
  const tooLate = found.filter((one) => !isCancelled(one));
  if (options.has('json')) {
    printDocument(io, { cancelled: cancelled.map(render), tooLate: tooLate.map(render) });
  } else {
    for (const one of cancelled) printParagraph(io, `${one.app} ${one.version}: ${describeEnd(one)}`);
    for (const one of tooLate) io.stderr(`gwe: ${describeLate(one)}\n`);
  }
  // The platform is informed now rather than at the next check-in.
  if (cancelled.length > 0) await wakeAgent(context.layout, io.clock);
  return tooLate.length === 0 ? EXIT.ok : EXIT.failed;
}

function isCancelled({ end }: Cancellation): boolean {
  return end?.code === 'CANCELLED';
}

function render({ app, version, tx, end }: Cancellation): Record<string, unknown> {
  return { app, appVersion: version, tx, outcome: end?.outcome ?? null, reason: end?.reason ?? null };
}

function describeEnd({ end }: Cancellation): string {
  if (end?.outcome === 'failed-no-change') return 'cancelled, nothing was changed';
  const now = end?.from === undefined ? '' : `, ${end.from} is active`;
  if (end?.outcome === 'rolled-back') return `cancelled and undone${now}`;
  return `cancelled, but could not be undone: ${end?.reason ?? 'see the log of gwe'}`;
}

function describeLate({ app, version, end }: Cancellation): string {
  const what = end === undefined ? 'it is already being activated' : `it has ended (${end.outcome})`;
  const then = end === undefined ? ' when it is done' : '';
  return `too late to cancel ${app} ${version}: ${what}; 'gwe rollback ${app}' goes back${then}`;
}
