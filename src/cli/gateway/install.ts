/**
 * `gwe install TARBALL...` and `--install-apps`: the agent's own update engine on files of this machine.
 *
 * With `--json` one document: {version, installs: [{file, app, appVersion, outcome, tx, from, active, exitCode, output,
 * notes, code, reason}]}; `outcome` is one of fetch_status; what is not known is absent.
 */
import { installTarball } from '../../agent/operator/local-update.ts';
import { matchArtifactName } from '../../artifact/name.ts';
import { describeError, GweError } from '../../base/errors.ts';
import type { EngineSettings } from '../../config/schema.ts';
import type { Layout } from '../../store/layout.ts';
import type { CommandIo, CommandSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { openForUpdate, patience } from '../shell/open-gateway.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { absolutePath } from '../shell/path.ts';
import { openProgress } from '../shell/progress-bar.ts';
import { layoutOf } from '../shell/root.ts';
import { printDocument } from '../shell/screen.ts';
import { describeUpdate, type UpdateResult, updateResult, wasInstalled } from '../shell/update-result.ts';
import { openLog } from './run.ts';

type InstallResult = UpdateResult & { file: string };

interface InstallOptions {
  isJson: boolean;
  /** With one the log is written as the agent's is, in place of a bar. */
  level?: EngineSettings['debugLevel'] | undefined;
}

export const installCommand: CommandSpec = {
  path: ['install'],
  positionals: ['TARBALL...'],
  summary: 'Install tarballs from this machine, in order; a failed one does not stop the others',
  options: [JSON_OPTION],
  run: ({ io, options, positionals }) =>
    installApps(io, layoutOf(io, options), positionals, { isJson: options.has('json') }),
};

/** Each in its order, whatever became of the ones before it; 1 if any was not installed. */
export async function installApps(
  io: CommandIo,
  layout: Layout,
  files: readonly string[],
  options: InstallOptions,
): Promise<number> {
  const { isJson } = options;
  const results: InstallResult[] = [];
  for (const file of files) {
    const result = { file, ...(await installOne(io, layout, file, options)) };
    results.push(result);
    if (!isJson) describeUpdate(io, result);
    if (result.code === 'CANCELLED') break;
  }
  if (isJson) printDocument(io, { installs: results });
  const isWhole = results.length === files.length && results.every(wasInstalled);
  return isWhole ? EXIT.ok : EXIT.failed;
}

async function installOne(
  io: CommandIo,
  layout: Layout,
  file: string,
  { isJson, level }: InstallOptions,
): Promise<UpdateResult> {
  const path = absolutePath(io, file);
  const named = matchArtifactName(path.slice(path.lastIndexOf('/') + 1));
  const title = named === undefined ? file : `${named.name} ${named.version}`;
  const progress = openProgress(io, title, isJson || level !== undefined);
  try {
    const log = level === undefined ? progress.log : openLog(io, layout, level);
    const context = openForUpdate(io, layout, log);
    context.progress.listen(progress.move);
    return updateResult(context.layout, await installTarball(context, path, patience(io)));
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    return {
      app: named?.name ?? file,
      appVersion: named?.version ?? '',
      outcome: error.isRejection ? 'rejected' : 'failed-no-change',
      code: error.code,
      reason: describeError(error),
      notes: [],
    };
  } finally {
    progress.end();
  }
}
