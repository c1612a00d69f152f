/** What the original Gateway Engine has left on this gateway: configuration, apps, program entries, executable. Reads only. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { APP_NAME_PATTERN, APP_VERSION_PATTERN, KEYS_APP_NAME, RESERVED_APP_NAME } from '../artifact/name.ts';
import { listDirectory, readTextBounded } from '../base/fs.ts';
import { parseIni } from '../base/ini.ts';
import { appOfProgramFile, type Layout, originalPlaces, programFile } from '../store/layout.ts';
import { isOriginalEntry, soleProgram } from '../supervisor/original-entry.ts';
import { isOwnProgram } from '../supervisor/program.ts';

const LIMIT_BYTES = 256 * 1024;

export interface OriginalApp {
  app: string;
  /** As the original's list has it; `unknown` where it has none. */
  version: string;
  /** Its program entry; a one-off has none. */
  entry?: { path: string; text: string };
}

export interface Original {
  gatewayConfig?: string;
  engineConfig?: string;
  /** The script `gwe` of Python. */
  executable?: string;
  /** The entry that starts it. */
  ownEntry?: { path: string; text: string };
  apps: OriginalApp[];
}

/** `undefined` where gwe has taken over all of it and no take-over is half done. */
export function findOriginal(layout: Layout, isBegun = false): Original | undefined {
  const [gatewayConfig, engineConfig] = ['Gateway.cfg', 'Engine.config'].map((name) =>
    configDirectories(layout)
      .map((directory) => join(directory, name))
      .filter((path) => textOf(path) !== undefined)
      // A newer installation beside an older one: what was changed last is what ran.
      .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)
      .at(0),
  );
  const executable = originalPlaces(layout).executables.find(isOriginalExecutable);
  const ownEntry = findOwnEntry(layout);
  const apps = findApps(layout, engineConfig);
  if (
    !isBegun &&
    executable === undefined &&
    ownEntry === undefined &&
    !apps.some((one) => one.entry !== undefined)
  )
    return undefined;
  return {
    apps,
    ...(gatewayConfig === undefined ? {} : { gatewayConfig }),
    ...(engineConfig === undefined ? {} : { engineConfig }),
    ...(executable === undefined ? {} : { executable }),
    ...(ownEntry === undefined ? {} : { ownEntry }),
  };
}

/** Its etc, and its package in every Python: `GatewayEngine`, or in an egg of that name. */
function configDirectories(layout: Layout): string[] {
  const { configDirectories: usual, libraries } = originalPlaces(layout);
  const packages = libraries
    .flatMap((library) => below(library, /^python\d/))
    .flatMap((python) => below(python, /^(?:site|dist)-packages$/))
    .flatMap((place) => below(place, /^GatewayEngine/))
    .flatMap((found) => [found, join(found, 'GatewayEngine')]);
  return [...usual, ...packages];
}

function below(directory: string, pattern: RegExp): string[] {
  try {
    return listDirectory(directory)
      .filter((name) => pattern.test(name))
      .map((name) => join(directory, name));
  } catch {
    return [];
  }
}

function textOf(path: string): string | undefined {
  try {
    return statSync(path).isFile() ? readTextBounded(path, LIMIT_BYTES) : undefined;
  } catch {
    return undefined;
  }
}

function isOriginalExecutable(path: string): boolean {
  const text = textOf(path) ?? '';
  return (
    text.startsWith('#!') && /python/.test(text.split('\n', 1)[0] ?? '') && text.includes('GatewayEngine')
  );
}

/** An entry `gwe` that gwe did not write and that starts the original. */
function findOwnEntry(layout: Layout): Original['ownEntry'] {
  const path = programFile(layout, RESERVED_APP_NAME);
  const text = textOf(path);
  if (text === undefined || isOwnProgram(RESERVED_APP_NAME, text)) return undefined;
  const command = soleProgram(RESERVED_APP_NAME, text)?.findLast(({ key }) => key === 'command')?.value ?? '';
  const isIts =
    /GatewayEngine/.test(command) || /^(?:\S*python\S*\s+(?:-u\s+)?)?(?:\S*\/)?gwe$/.test(command.trim());
  return isIts ? { path, text } : undefined;
}

function findApps(layout: Layout, engineConfig: string | undefined): OriginalApp[] {
  const listed = engineConfig === undefined ? new Map<string, string>() : readAppList(engineConfig);
  const apps = new Map<string, OriginalApp>();
  for (const [app, version] of listed) if (isAppName(app)) apps.set(app, { app, version });
  for (const name of existsSync(layout.programsDirectory) ? listDirectory(layout.programsDirectory) : []) {
    const app = appOfProgramFile(layout, name);
    if (app === undefined || !isAppName(app)) continue;
    const path = programFile(layout, app);
    const text = textOf(path);
    if (text === undefined) continue;
    if (isOwnProgram(app, text)) apps.delete(app);
    else if (soleProgram(app, text) !== undefined && (listed.has(app) || isOriginalEntry(app, text)))
      apps.set(app, { app, version: listed.get(app) ?? 'unknown', entry: { path, text } });
    else apps.delete(app);
  }
  return [...apps.values()].sort((a, b) => a.app.localeCompare(b.app));
}

/** gwe itself comes as an executable, not as an app of the original. */
function isAppName(name: string): boolean {
  return APP_NAME_PATTERN.test(name) && ![RESERVED_APP_NAME, KEYS_APP_NAME, 'GatewayEngine'].includes(name);
}

/** The list of one-key objects that it kept: `[{'counter': 1}, {'ntp_updater': '2.0'}]`, under whatever option. */
function readAppList(path: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const { entries } of parseIni(textOf(path) ?? '').sections)
    for (const { value } of entries)
      for (const [, app = '', version = ''] of value.matchAll(
        /\{\s*u?['"]([^'"{}]+)['"]\s*:\s*u?['"]?([^'"{},]*)['"]?\s*\}/g,
      ))
        found.set(app, APP_VERSION_PATTERN.test(version.trim()) ? version.trim() : 'unknown');
  return found;
}
