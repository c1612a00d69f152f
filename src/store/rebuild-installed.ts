/** What is installed, rebuilt from the rest of the disk, for when installed.json is lost. */
import { existsSync, lstatSync } from 'node:fs';
import { join } from 'node:path';
import { MANIFEST_PATH, manifestDigest } from '../artifact/manifest/meta-files.ts';
import { KEYS_APP_NAME, RESERVED_APP_NAME, renderArtifactName } from '../artifact/name.ts';
import type { VersionRecord } from '../artifact/record.ts';
import { listDirectory, readFileBounded, readLink } from '../base/fs.ts';
import { type HistoryEntry, readHistory } from './history.ts';
import type { InstalledApp } from './installed.ts';
import {
  appDirectory,
  currentLink,
  type Layout,
  previousLink,
  versionDirectoryName,
  versionOfDirectory,
} from './layout.ts';
import { listVersions } from './versions.ts';

const LARGEST_MANIFEST_BYTES = 16 * 1024 * 1024;
/** In the name of a version's directory. */
const DIGEST_PATTERN = /-([0-9a-f]{8})$/;

type Apps = Record<string, InstalledApp>;

/**
 * `current` says what is active; the copy of the file, the history and the manifests say the rest. What nothing says
 * any more (the digest of a tarball without a manifest, older than the history's) is what the name of the directory
 * has of it.
 */
export function rebuildInstalled(layout: Layout, copy: Apps = {}): Apps {
  const history = readHistory(layout);
  const names = new Set([...listDirectory(layout.appsDirectory), ...Object.keys(copy)]);
  const apps: Apps = {};
  for (const app of names) {
    const known = copy[app];
    const record =
      app === RESERVED_APP_NAME ? readOwnRecord(layout, known) : rebuildApp(layout, app, known, history);
    if (record !== undefined) apps[app] = record;
  }
  return apps;
}

/**
 * The record of gwe itself by its two links, which 'gwe service install' and the launcher move without an update that
 * would write it down; what `known` says of the versions there stays. `undefined` where there is nothing to say.
 */
export function readOwnRecord(layout: Layout, known: InstalledApp | undefined): InstalledApp | undefined {
  const app = RESERVED_APP_NAME;
  const [current, before] = [currentLink(layout, app), previousLink(layout, app)].map((link) => {
    const name = readLink(link);
    return name !== undefined && exists(layout, app, name) ? name : undefined;
  });
  const recordOf = (name: string): VersionRecord | undefined =>
    knownRecord(known, name) ?? readRecord(layout, app, name, readHistory(layout));
  const active = current === undefined ? undefined : recordOf(current);
  const previous = before === undefined || before === current ? undefined : recordOf(before);
  const refused = known?.refused ?? [];
  if (active === undefined && previous === undefined && refused.length === 0) return undefined;
  return {
    refused,
    ...(active === undefined ? {} : { active }),
    ...(previous === undefined ? {} : { previous }),
  };
}

function knownRecord(known: InstalledApp | undefined, directory: string): VersionRecord | undefined {
  return [known?.active, known?.previous].find(
    (one) => one !== undefined && versionDirectoryName(one) === directory,
  );
}

function rebuildApp(
  layout: Layout,
  app: string,
  known: InstalledApp | undefined,
  history: readonly HistoryEntry[],
): InstalledApp | undefined {
  const recordOf = (directory: string): VersionRecord | undefined =>
    knownRecord(known, directory) ?? readRecord(layout, app, directory, history);
  const current = readLink(currentLink(layout, app));
  const active = current === undefined || !exists(layout, app, current) ? undefined : recordOf(current);
  const before = active && previousDirectory(layout, app, active, history);
  const previous = before === undefined ? undefined : recordOf(before);
  const refused = known?.refused ?? [];
  if (active === undefined && refused.length === 0) return undefined;
  return {
    refused,
    ...(active === undefined ? {} : { active }),
    ...(previous === undefined ? {} : { previous }),
  };
}

/** The version that the active one was installed over; else the one whose update was last of those that are there. */
function previousDirectory(
  layout: Layout,
  app: string,
  active: VersionRecord,
  history: readonly HistoryEntry[],
): string | undefined {
  const name = versionDirectoryName(active);
  const others = listVersions(layout, app).filter((one) => one !== name && DIGEST_PATTERN.test(one));
  const updates = history.filter((one) => one.app === app);
  const { from } = updates.findLast((one) => one.version === active.version && one.from !== undefined) ?? {};
  const named = others.filter((one) => versionOfDirectory(one) === from);
  const order = updates.map((one) => one.version);
  const byUse = (named.length > 0 ? named : others).sort(
    (a, b) => order.lastIndexOf(versionOfDirectory(b)) - order.lastIndexOf(versionOfDirectory(a)),
  );
  // A version that no update mentions was never accepted here, as far as anybody knows.
  return byUse.find((one) => order.includes(versionOfDirectory(one)) || versionOfDirectory(one) === from);
}

/** From the directory itself; `undefined` for one that is no version's. */
function readRecord(
  layout: Layout,
  app: string,
  directory: string,
  history: readonly HistoryEntry[],
): VersionRecord | undefined {
  const short = DIGEST_PATTERN.exec(directory)?.[1];
  if (short === undefined) return undefined;
  const path = join(appDirectory(layout, app), directory);
  const version = versionOfDirectory(directory);
  const update = history.findLast(
    (one) => one.app === app && one.version === version && one.digest?.startsWith(short) === true,
  );
  const installedAtMs =
    update?.endedAtMs ?? history.findLast((one) => one.app === app && one.version === version)?.endedAtMs;
  return {
    version,
    digest: update?.digest ?? digestOfManifest(path, short) ?? short,
    contentId: update?.contentId ?? renderArtifactName({ name: app, version }),
    hasProgram: app !== KEYS_APP_NAME && existsSync(join(path, 'supervisor.conf')),
    installedAtMs: installedAtMs ?? Math.round(lstatSync(path).mtimeMs),
  };
}

function digestOfManifest(path: string, short: string): string | undefined {
  try {
    const bytes = readFileBounded(join(path, MANIFEST_PATH), LARGEST_MANIFEST_BYTES);
    const digest = bytes === undefined ? undefined : manifestDigest(bytes);
    return digest?.startsWith(short) === true ? digest : undefined;
  } catch {
    return undefined;
  }
}

function exists(layout: Layout, app: string, directory: string): boolean {
  return !directory.includes('/') && existsSync(join(appDirectory(layout, app), directory));
}
