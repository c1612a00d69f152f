/**
 * Which directories below opt/gwe/apps/NAME are versions that gwe made, and which of them it still has to remove.
 * What is not in this list belongs to somebody else. Where the list is missing or damaged, it is what the disk looks
 * like.
 */
import { existsSync, lstatSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { MANIFEST_PATH } from '../artifact/manifest/meta-files.ts';
import { RESERVED_APP_NAME } from '../artifact/name.ts';
import { listDirectory } from '../base/fs.ts';
import { type StoredFile, storedFile } from '../base/stored-file.ts';
import { appDirectory, type Layout } from './layout.ts';

const LIST_VERSION = 1;
const LARGEST_LIST_BYTES = 1024 * 1024;
const VERSION_DIRECTORY = /^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}-[0-9a-f]{8}$/;
/** Every version holds one of these, and hardly anything else whose name looks like a version's does. */
const SIGNS = ['install.sh', 'setup.py', MANIFEST_PATH, RESERVED_APP_NAME];

const AppSchema = v.object({
  made: v.array(v.string()),
  /** Nobody needs them, and something was mounted in them when they were to be removed. */
  removing: v.array(v.string()),
});
type AppVersions = v.InferOutput<typeof AppSchema>;

const ListSchema = v.object({ version: v.literal(LIST_VERSION), apps: v.record(v.string(), AppSchema) });

/** What is known of the versions of `app`; those that are gone meanwhile are left out. */
export function readAppVersions(layout: Layout, app: string): AppVersions {
  const known = readList(layout)[app];
  // The executables of gwe also come from 'service install', which is no update.
  if (known === undefined || app === RESERVED_APP_NAME)
    return { made: guessVersions(layout, app), removing: known?.removing ?? [] };
  const isThere = (name: string): boolean => isVersionDirectory(layout, app, name);
  return { made: known.made.filter(isThere), removing: known.removing.filter(isThere) };
}

/** Replaces what is known of `app` with the result of `change`, if it differs. */
export function changeAppVersions(
  layout: Layout,
  app: string,
  change: (now: AppVersions) => AppVersions,
): void {
  const apps = readList(layout);
  const now = readAppVersions(layout, app);
  const next = change(now);
  const isSame = JSON.stringify(apps[app]) === JSON.stringify(next);
  const isNothing = next.made.length === 0 && next.removing.length === 0;
  if (isSame || (isNothing && apps[app] === undefined)) return;
  const { [app]: _old, ...others } = apps;
  listFile(layout).write({
    version: LIST_VERSION,
    apps: isNothing ? others : { ...others, [app]: next },
  });
}

function readList(layout: Layout): Record<string, AppVersions> {
  return listFile(layout).readOr(undefined)?.apps ?? {};
}

function listFile(layout: Layout): StoredFile<v.InferOutput<typeof ListSchema>> {
  return storedFile(layout.versionList, { schema: ListSchema, limitBytes: LARGEST_LIST_BYTES });
}

function guessVersions(layout: Layout, app: string): string[] {
  const directory = appDirectory(layout, app);
  return listDirectory(directory).filter(
    (name) =>
      isVersionDirectory(layout, app, name) && SIGNS.some((sign) => existsSync(join(directory, name, sign))),
  );
}

/** By its name, and a directory of its own, not a link to one. */
function isVersionDirectory(layout: Layout, app: string, name: string): boolean {
  if (!VERSION_DIRECTORY.test(name)) return false;
  const stat = lstatSync(join(appDirectory(layout, app), name), { throwIfNoEntry: false });
  return stat?.isDirectory() === true;
}
