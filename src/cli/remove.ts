/**
 * `gwe remove APP`: asks nothing, says what is gone and what is not.
 *
 * `--json`: {version, app, removed: [text], left: [text]}.
 */
import { removeApp } from '../agent/app-control.ts';
import { RESERVED_APP_NAME } from '../artifact/name.ts';
import { GweError } from '../base/errors.ts';
import type { CommandCall, CommandSpec } from './command.ts';
import { EXIT } from './exit.ts';
import { gatewayOf, patience, requireApp } from './gateway.ts';
import { JSON_OPTION } from './options.ts';
import { printDocument, printParagraph } from './screen.ts';

export const removeCommand: CommandSpec = {
  path: ['remove'],
  positionals: ['APP'],
  summary: 'Stop an app and take its program entry and all its versions away',
  options: [JSON_OPTION],
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
  const app = requireApp(call, context);
  const { removed, left } = await removeApp(context, app, patience(io));
  if (call.options.has('json')) {
    printDocument(io, { app, removed, left });
    return EXIT.ok;
  }
  for (const each of removed) printParagraph(io, `removed ${each}`);
  for (const each of left) printParagraph(io, `left as it is: ${each}`);
  return EXIT.ok;
}
