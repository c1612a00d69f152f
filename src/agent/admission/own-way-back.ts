/** Whether gwe itself may go back to a version of gwe. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MANIFEST_PATH } from '../../artifact/manifest/meta-files.ts';
import { RESERVED_APP_NAME } from '../../artifact/name.ts';
import { digestFile } from '../../base/fs.ts';
import { keptDigest } from '../../service/previous.ts';
import { appDirectory, versionDirectoryName, versionOfDirectory } from '../../store/layout.ts';
import type { AgentContext } from '../run/context.ts';
import { checkBeforeUse, type Unpacked } from './admission.ts';
import { signersOnRecord } from './ways-back.ts';

const APP = RESERVED_APP_NAME;

/**
 * As `checkBeforeUse` for a way back, for the version directory `name` of gwe. One that root has put there
 * (`gwe service install`) came without a manifest, so nobody can have signed it: it counts while its executable is what
 * it was. Throws ARTIFACT_UNTRUSTED, ARTIFACT_MANIFEST with keys; without returns a note about what has changed.
 */
export function checkOwnWayBack(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'installed'>,
  name: string,
): string | undefined {
  const directory = join(appDirectory(context.layout, APP), name);
  if (!existsSync(join(directory, MANIFEST_PATH)) && isAsPlaced(context, directory, name)) return undefined;
  const { active, previous } = context.installed.get(APP);
  const record = [active, previous].find((one) => one !== undefined && versionDirectoryName(one) === name);
  const id = record ?? { version: versionOfDirectory(name), digest: shortDigest(name) };
  const unpacked = { app: APP, version: id.version, digest: id.digest };
  return checkBeforeUse(context, { ...unpacked, ...signersOnRecord(context, unpacked) }, 'way-back');
}

/** Whether it is a gwe that 'gwe service install' has put there: without a manifest, and without an install.sh to run. */
export function isPlacedOwn(context: Pick<AgentContext, 'layout'>, { app, ...id }: Unpacked): boolean {
  if (app !== APP) return false;
  const name = versionDirectoryName(id);
  const directory = join(appDirectory(context.layout, APP), name);
  return !existsSync(join(directory, MANIFEST_PATH)) && isAsPlaced(context, directory, name);
}

/** The name of a directory that 'gwe service install' has made ends with what the executable had at first. */
function isAsPlaced({ layout }: Pick<AgentContext, 'layout'>, directory: string, name: string): boolean {
  const executable = join(directory, APP);
  if (!existsSync(executable)) return false;
  const found = digestFile(executable);
  return found.startsWith(shortDigest(name)) && (keptDigest(layout, name) ?? found) === found;
}

function shortDigest(name: string): string {
  return name.slice(-8);
}
