/**
 * `--install-apps TARBALL...`: the agent's own update engine on files of this machine.
 *
 * With `--json` one document: {version, installs: [{file, app, appVersion, outcome, tx, from, active, exitCode, output,
 * notes, code, reason}]}; `outcome` is one of fetch_status; what is not known is absent.
 */
import { resolve } from 'node:path';
import { installTarball } from '../agent/local-update.ts';
import { matchArtifactName } from '../artifact/name.ts';
import { describeError, GweError } from '../base/errors.ts';
import type { Layout } from '../store/layout.ts';
import type { CommandIo } from './command.ts';
import { EXIT } from './exit.ts';
import { openGateway, patience } from './gateway.ts';
import { openProgress } from './progress.ts';
import { printDocument } from './screen.ts';
import { describeUpdate, type UpdateResult, updateResult, wasInstalled } from './update-result.ts';

type InstallResult = UpdateResult & { file: string };

/** Each in its order, whatever became of the ones before it; 1 if any was not installed. */
export async function installApps(
  io: CommandIo,
  layout: Layout,
  files: readonly string[],
  isJson: boolean,
): Promise<number> {
  const results: InstallResult[] = [];
  for (const file of files) {
    const result = { file, ...(await installOne(io, layout, file, isJson)) };
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
  isJson: boolean,
): Promise<UpdateResult> {
  const path = resolve(io.cwd, file);
  const named = matchArtifactName(path.slice(path.lastIndexOf('/') + 1));
  const progress = openProgress(io, named === undefined ? file : `${named.name} ${named.version}`, isJson);
  try {
    const context = openGateway(io, layout, progress.log);
    context.progress.listen(progress.move);
    return updateResult(await installTarball(context, path, patience(io)));
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
