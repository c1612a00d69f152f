/**
 * Takes a gateway over from the original Gateway Engine. Each step leaves something that runs, and all of it may be
 * run again: first what the original does not see (configuration, versions), then its program entries by the same
 * options, and last the launcher in the place of its executable.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describeError } from '../base/errors.ts';
import { ensureDirectory, removeFileDurable, writeFileDurable } from '../base/fs.ts';
import { act, type ServiceOptions, textOf, withoutUpdates } from '../service/actions.ts';
import { installService } from '../service/install.ts';
import type { InstalledStore } from '../store/installed.ts';
import { createInstalledStore } from '../store/installed-store.ts';
import { originalPlaces } from '../store/layout.ts';
import { assertUnclaimed } from '../supervisor/programs.ts';
import { filesOf } from './adopt-app.ts';
import { adoptDevice, adoptSettings } from './adopt-config.ts';
import { adoptEntry, adoptVersion, keepCopy } from './adopt-program.ts';
import { findOriginal, type Original, type OriginalApp } from './find-original.ts';

interface AdoptOptions extends ServiceOptions {
  /** The executable to install, and its version. */
  source: string;
  version: string;
  /** Leave the gwe that runs alone: what it is a part of would end with it. */
  keepsRunning: boolean;
}

/** Throws as `installService` does. */
export async function adopt(options: AdoptOptions): Promise<void> {
  const begun = readBegun(options);
  const original = findOriginal(options.layout, begun !== undefined);
  if (original === undefined) {
    options.say(`nothing to take over: the original Gateway Engine is not on '${options.layout.root}'`);
    return;
  }
  const isOfGwe = begun === TAKES_GWE || original.executable !== undefined || original.ownEntry !== undefined;
  await withoutUpdates(options, async () => {
    if (!options.isDryRun) noteBegun(options, isOfGwe ? TAKES_GWE : 'apps');
    adoptConfig(options, original);
    const installed = createInstalledStore(options.layout);
    for (const one of original.apps) await adoptApp(options, installed, one);
    await keepOriginals(options, original);
  });
  const { keepsRunning } = options;
  if (isOfGwe) await installService({ ...options, manager: 'supervisord', takesOver: { keepsRunning } });
  else options.say('gwe itself stays as it is: the original has no executable or entry here');
  // What keeps running is replaced by another run of this.
  if (!options.isDryRun && !(isOfGwe && keepsRunning)) removeFileDurable(markOf(options));
}

/** Says that gwe itself is to be put in place too. */
const TAKES_GWE = 'gwe';

/**
 * There from the first change to the last: what a power cut leaves undone cannot be told by the files of the original
 * alone.
 */
function markOf({ layout }: Pick<AdoptOptions, 'layout'>): string {
  return join(originalPlaces(layout).kept, 'begun');
}

function readBegun(options: AdoptOptions): string | undefined {
  return textOf(markOf(options))?.trim();
}

function noteBegun(options: AdoptOptions, what: string): void {
  ensureDirectory(originalPlaces(options.layout).kept);
  writeFileDurable(markOf(options), `${what}\n`);
}

function adoptConfig({ layout, isDryRun, say }: AdoptOptions, original: Original): void {
  const would = isDryRun ? 'would take' : 'take';
  if (original.gatewayConfig === undefined) {
    if (!existsSync(layout.gatewayConfig))
      say('no Gateway.cfg of the original was found: set the product and serial number');
  } else {
    const taken = adoptDevice(layout, original.gatewayConfig, isDryRun);
    say(
      taken.length === 0
        ? `keep ${layout.gatewayConfig}: it already has an identity`
        : `${would} ${taken.join(', ')} from ${original.gatewayConfig} into ${layout.gatewayConfig}`,
    );
  }
  if (original.engineConfig === undefined) return;
  const settings = adoptSettings(layout, original.engineConfig, isDryRun);
  if (settings.length > 0)
    say(`${would} ${settings.join(', ')} from ${original.engineConfig} into ${layout.engineConfig}`);
}

async function adoptApp(options: AdoptOptions, installed: InstalledStore, one: OriginalApp): Promise<void> {
  const { layout, say } = options;
  const { app, version, entry } = one;
  const adopter = { layout, installed, supervisor: options.supervisor, nowMs: options.clock.wallMs() };
  const what = `app ${app}, version ${version}`;
  try {
    assertUnclaimed(layout, app);
  } catch (error) {
    say(`leave ${what}: ${describeError(error)}`);
    return;
  }
  if (installed.get(app).active === undefined) {
    const files = filesOf(one);
    const back =
      files.length === 0
        ? 'none of its files is known, so a rollback restores none'
        : `goes back to ${files.join(', ')}`;
    await act(
      options,
      `take over ${what}${entry === undefined ? ', without a program' : ''}; ${back}`,
      async () => {
        await adoptVersion(adopter, one);
      },
    );
  }
  if (entry === undefined) return;
  await act(options, `take over ${entry.path}; its program keeps running`, async () => {
    await adoptEntry(adopter, app, entry);
  });
}

/** The executable and the entry of the original, before gwe's take their place. */
async function keepOriginals(options: AdoptOptions, { executable, ownEntry }: Original): Promise<void> {
  for (const path of [executable, ownEntry?.path]) {
    if (path === undefined) continue;
    const { kept } = originalPlaces(options.layout);
    await act(options, `keep a copy of ${path} in ${kept}`, () => keepCopy(options.layout, path));
  }
  if (executable !== undefined && executable !== options.layout.launcher)
    options.say(
      `leave ${executable}: ${options.layout.launcher} is what starts gwe; remove the other one if PATH finds it first`,
    );
}
