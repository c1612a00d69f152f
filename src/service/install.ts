/** Makes gwe a service of this gateway: executable, launcher, and what starts it at boot. Can be repeated. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readLink } from '../base/fs.ts';
import { FRESH_GATEWAY_CONFIG } from '../config/config-files.ts';
import { act, putText, requireOwn, type ServiceOptions, textOf, withoutUpdates } from './actions.ts';
import { type Manager, renderEntry, renderUnit, serviceEnvironment } from './entry.ts';
import {
  type Executable,
  passesSelfTest,
  placeExecutable,
  planExecutable,
  switchExecutable,
} from './executable.ts';
import { installGuard, requireOwnGuard } from './guard-hooks.ts';
import { isLauncher, LAUNCHER } from './launcher.ts';
import {
  checkEntry,
  hasOwnEntry,
  hasOwnUnit,
  installEntry,
  installUnit,
  removeEntry,
  removeUnit,
  requireOwnFiles,
} from './managers.ts';

interface InstallOptions extends ServiceOptions {
  manager: Manager;
  /** The executable to install, and its version. */
  source: string;
  version: string;
  /** The original Gateway Engine may be in the place of the launcher and of the entry. */
  takesOver?: { keepsRunning: boolean };
}

/**
 * Checks everything before it changes anything. Throws USAGE_BAD_VALUE for a file that is not an executable, STORE_IO
 * or SUPERVISOR_FOREIGN_PROGRAM for something in the way that is not of gwe, STORE_LOCKED in the middle of an update,
 * STORE_NO_SPACE.
 */
export async function installService(options: InstallOptions): Promise<void> {
  const { layout, manager } = options;
  const executable = await planExecutable(layout, options.source, options.version, options.clock);
  if (options.takesOver === undefined) {
    await requireOwnLauncher(options);
    requireOwnFiles(layout);
  }
  requireOwnGuard(layout);
  const { variables, leftOut } = serviceEnvironment(layout, options.env);
  const entry = renderEntry(layout, variables);
  checkEntry(layout, entry, options.env);
  await withoutUpdates(options, async () => {
    const isNew = await installExecutable(options, executable);
    await putText(options, layout.launcher, LAUNCHER, 0o755);
    await installGuard(options);
    await ensureConfigured(options);
    for (const { path, text } of options.documents)
      await putText(options, join(layout.root, path), text, 0o644);
    for (const name of leftOut) {
      options.say(
        `left out ${name}: it holds a password or unusual characters; set it for ${manager} where only root can read it`,
      );
    }
    if (manager === 'systemd') {
      if (hasOwnEntry(layout)) await removeEntry(options);
      await installUnit(options, renderUnit(layout, variables), isNew);
    } else {
      if (hasOwnUnit(layout)) await removeUnit(options);
      await installEntry(options, entry, { isNew, takesOver: options.takesOver });
    }
  });
}

/** In the launcher's place there may be a launcher, or the executable as it was copied there by hand. */
async function requireOwnLauncher({ layout, clock }: InstallOptions): Promise<void> {
  const { launcher } = layout;
  const isOwn =
    isLauncher(textOf(launcher) ?? '') || (existsSync(launcher) && (await passesSelfTest(launcher, clock)));
  requireOwn(launcher, isOwn);
}

/** True if another executable than before will run. */
async function installExecutable(options: InstallOptions, executable: Executable): Promise<boolean> {
  const { layout } = options;
  const size = `${(executable.sizeBytes / 1e6).toFixed(1)} MB`;
  if (executable.isInPlace) options.say(`keep ${executable.path} (${size})`);
  else await act(options, `copy ${executable.path} (${size})`, () => placeExecutable(executable));
  const link = join(dirname(dirname(executable.path)), 'current');
  if (readLink(link) === executable.name) {
    options.say(`keep ${link} -> ${executable.name}`);
    return !executable.isInPlace;
  }
  await act(options, `link ${link} -> ${executable.name}`, () => {
    for (const name of switchExecutable(layout, executable, options.clock.wallMs()))
      options.say(`remove version ${name}`);
  });
  return true;
}

/** Configuration that is there stays as it is, byte for byte. */
async function ensureConfigured(options: InstallOptions): Promise<void> {
  const { gatewayConfig, engineConfig } = options.layout;
  if (existsSync(engineConfig)) options.say(`keep ${engineConfig}`);
  if (existsSync(gatewayConfig)) options.say(`keep ${gatewayConfig}`);
  else await putText(options, gatewayConfig, FRESH_GATEWAY_CONFIG, 0o600);
}
