/** Takes the service away again; configuration, state and apps stay. */
import { existsSync, lstatSync } from 'node:fs';
import { join } from 'node:path';
import { removeFileDurable } from '../base/fs.ts';
import { appDirectory, type Layout } from '../store/layout.ts';
import { removeAppTrees } from '../store/versions.ts';
import { act, type ServiceOptions, textOf, withoutUpdates } from './actions.ts';
import { APP } from './executable.ts';
import { removeGuard } from './guard-hooks.ts';
import { isLauncher } from './launcher.ts';
import { hasOwnEntry, hasOwnUnit, removeEntry, removeUnit } from './managers.ts';
import { removeStartState } from './starts.ts';

/**
 * Removes what `installService` made, in such an order that nothing starts what has been removed. Throws
 * STORE_LOCKED.
 */
export async function uninstallService(options: ServiceOptions): Promise<void> {
  const { layout } = options;
  const versions = appDirectory(layout, APP);
  if (!isInstalled(layout)) {
    options.say(`nothing to remove: gwe is not installed as a service on '${layout.root}'`);
    return;
  }
  await withoutUpdates(options, async () => {
    await removeEntry(options);
    await removeUnit(options);
    await removeGuard(options);
    if (isLauncher(textOf(layout.launcher) ?? '')) {
      await act(options, `remove ${layout.launcher}`, () => removeFileDurable(layout.launcher));
    } else if (lstatSync(layout.launcher, { throwIfNoEntry: false }) !== undefined) {
      options.say(`keep ${layout.launcher}: it is not the launcher`);
    }
    if (existsSync(versions)) {
      await act(options, `remove ${versions}`, () => {
        const { stayed, foreign } = removeAppTrees(layout, APP);
        for (const error of stayed) options.say(error.message);
        for (const path of foreign) options.say(`keep ${path}: gwe did not make it`);
      });
    }
    for (const { path } of options.documents) await removeDocument(options, join(layout.root, path));
    if (!options.isDryRun) removeStartState(layout);
    for (const path of [
      layout.gatewayConfig,
      layout.engineConfig,
      layout.stateDirectory,
      layout.dataDirectory,
    ]) {
      if (existsSync(path)) options.say(`keep ${path}`);
    }
  });
}

/** Whether anything is there that `installService` made. */
export function isInstalled(layout: Layout): boolean {
  return (
    hasOwnEntry(layout) ||
    hasOwnUnit(layout) ||
    existsSync(appDirectory(layout, APP)) ||
    isLauncher(textOf(layout.launcher) ?? '')
  );
}

async function removeDocument(options: ServiceOptions, path: string): Promise<void> {
  if (existsSync(path)) await act(options, `remove ${path}`, () => removeFileDurable(path));
}
