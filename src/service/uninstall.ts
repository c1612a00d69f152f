/** Takes the service away again; configuration, state and apps stay. */
import { existsSync, lstatSync } from 'node:fs';
import { join } from 'node:path';
import { removeFileDurable, removeTree } from '../base/fs.ts';
import { appDirectory } from '../store/layout.ts';
import { act, type ServiceOptions, textOf, withoutUpdates } from './actions.ts';
import { APP } from './executable.ts';
import { isLauncher } from './launcher.ts';
import { hasOwnEntry, hasOwnUnit, removeEntry, removeUnit } from './managers.ts';
import { removeStartState } from './starts.ts';

/** Removes what `installService` made, in the order in which nothing starts what is gone. Throws STORE_LOCKED. */
export async function uninstallService(options: ServiceOptions): Promise<void> {
  const { layout } = options;
  const versions = appDirectory(layout, APP);
  const isThere =
    hasOwnEntry(layout) ||
    hasOwnUnit(layout) ||
    existsSync(versions) ||
    isLauncher(textOf(layout.launcher) ?? '');
  if (!isThere) {
    options.say(`nothing to remove: gwe is not installed as a service on '${layout.root}'`);
    return;
  }
  await withoutUpdates(options, async () => {
    await removeEntry(options);
    await removeUnit(options);
    if (isLauncher(textOf(layout.launcher) ?? '')) {
      await act(options, `remove ${layout.launcher}`, () => removeFileDurable(layout.launcher));
    } else if (lstatSync(layout.launcher, { throwIfNoEntry: false }) !== undefined) {
      options.say(`keep ${layout.launcher}: it is not the launcher`);
    }
    if (existsSync(versions)) await act(options, `remove ${versions}`, () => removeTree(versions));
    for (const { path } of options.documents) await removeDocument(options, join(layout.root, path));
    if (!options.isDryRun) removeStartState(layout);
    for (const path of [layout.gatewayConfig, layout.engineConfig, layout.stateDirectory]) {
      if (existsSync(path)) options.say(`keep ${path}`);
    }
  });
}

async function removeDocument(options: ServiceOptions, path: string): Promise<void> {
  if (existsSync(path)) await act(options, `remove ${path}`, () => removeFileDurable(path));
}
