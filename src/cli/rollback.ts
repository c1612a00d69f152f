/**
 * `gwe rollback APP`: back to the version before, by the same engine as an update; once more brings it back.
 *
 * `--json`: {version, app, appVersion, outcome, tx, from, active, exitCode, output, notes, code, reason} as for
 * --install-apps; `appVersion` is the version gone back to.
 */
import { rollBackApp } from '../agent/local-update.ts';
import type { CommandCall, CommandSpec } from './command.ts';
import { EXIT } from './exit.ts';
import { gatewayOf, openGateway, patience, requireApp } from './gateway.ts';
import { JSON_OPTION } from './options.ts';
import { openProgress } from './progress.ts';
import { printDocument } from './screen.ts';
import { describeUpdate, updateResult, wasInstalled } from './update-result.ts';

export const rollbackCommand: CommandSpec = {
  path: ['rollback'],
  positionals: ['APP'],
  summary: 'Go back to the version of an app before the active one',
  options: [JSON_OPTION],
  run: runRollback,
};

async function runRollback(call: CommandCall): Promise<number> {
  const { io, options } = call;
  const { layout, installed } = gatewayOf(call);
  const app = requireApp(call, gatewayOf(call));
  const version = installed.get(app).previous?.version ?? '';
  const progress = openProgress(io, `${app} ${version}`.trim(), options.has('json'));
  try {
    const context = openGateway(io, layout, progress.log);
    const result = updateResult(await rollBackApp(context, app, patience(io)));
    progress.end();
    if (options.has('json')) printDocument(io, { ...result });
    else describeUpdate(io, result, 'rolled back to');
    return wasInstalled(result) ? EXIT.ok : EXIT.failed;
  } finally {
    progress.end();
  }
}
