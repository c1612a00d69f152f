/**
 * `gwe rollback APP`: back to the version before, by the same engine as an update; once more brings it back.
 *
 * `--json`: {version, app, appVersion, outcome, tx, from, active, exitCode, output, notes, code, reason} as for
 * --install-apps; `appVersion` is the version that was restored.
 */
import { rollBackApp } from '../../agent/operator/local-update.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { gatewayOf, openForUpdate, patience, requireApp } from '../shell/open-gateway.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { openProgress } from '../shell/progress-bar.ts';
import { printDocument } from '../shell/screen.ts';
import { describeUpdate, updateResult, wasInstalled } from '../shell/update-result.ts';

export const rollbackCommand: CommandSpec = {
  path: ['rollback'],
  positionals: ['APP'],
  summary: 'Roll back to the version of an app before the active one',
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
    const context = openForUpdate(io, layout, progress.log);
    const result = updateResult(layout, await rollBackApp(context, app, patience(io)));
    progress.end();
    if (options.has('json')) printDocument(io, { ...result });
    else describeUpdate(io, result, 'active again');
    return wasInstalled(result) ? EXIT.ok : EXIT.failed;
  } finally {
    progress.end();
  }
}
