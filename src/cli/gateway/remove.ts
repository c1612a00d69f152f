/**
 * `gwe remove APP`: asks for confirmation, then says what has been removed and what has not.
 *
 * `--json`: {version, app, removed: [text], left: [text]}, and for a dry run {version, app, wouldRemove: [text]}.
 */
import { hasData, planRemoval, removeApp } from '../../agent/operator/remove-app.ts';
import { RESERVED_APP_NAME } from '../../artifact/name.ts';
import { GweError } from '../../base/errors.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { CONFIRM_OPTIONS, confirm } from '../shell/confirm.ts';
import { EXIT } from '../shell/exit.ts';
import { gatewayOf, patience, requireApp } from '../shell/open-gateway.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { printDocument, printParagraph } from '../shell/screen.ts';

export const removeCommand: CommandSpec = {
  path: ['remove'],
  positionals: ['APP'],
  summary: 'Stop an app and remove its program entry and all its versions',
  options: [
    { name: 'data', help: 'its data directory as well, even if the app itself is gone already' },
    ...CONFIRM_OPTIONS,
    JSON_OPTION,
  ],
  run: runRemove,
};

async function runRemove(call: CommandCall): Promise<number> {
  const { io } = call;
  if (call.positionals[0] === RESERVED_APP_NAME) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      "cannot remove 'gwe': it is gwe itself; see 'gwe service uninstall'",
    );
  }
  const context = gatewayOf(call);
  const withData = call.options.has('data');
  const given = call.positionals[0] ?? '';
  const app = withData && hasData(context, given) ? given : requireApp(call, context);
  const planned = planRemoval(context, app, withData);
  if (call.options.has('dry-run')) return tellPlan(call, app, planned);
  await confirm(call, `remove app '${app}'${withData ? ' with its data' : ''}: ${planned.join(', ')}`);
  const { removed, left } = await removeApp(context, app, { withData, wait: patience(io) });
  if (call.options.has('json')) {
    printDocument(io, { app, removed, left });
    return EXIT.ok;
  }
  for (const each of removed) printParagraph(io, `removed ${each}`);
  for (const each of left) printParagraph(io, `left as it is: ${each}`);
  return EXIT.ok;
}

function tellPlan({ io, options }: CommandCall, app: string, planned: readonly string[]): number {
  if (options.has('json')) printDocument(io, { app, wouldRemove: planned });
  else for (const path of planned) printParagraph(io, `would remove ${path}`);
  return EXIT.ok;
}
