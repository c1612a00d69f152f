/** One app of the original and its program entry, which go over to gwe while the program runs on. */
import { existsSync, readlinkSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { copyFileDurable, ensureDirectory, writeFileDurable } from '../base/fs.ts';
import type { InstalledStore } from '../store/installed.ts';
import { type Layout, originalPlaces } from '../store/layout.ts';
import type { SupervisorClient } from '../supervisor/client.ts';
import { makeVersion, ownEntryText } from './adopt-app.ts';
import { findOriginal, type OriginalApp } from './find-original.ts';

interface Adopter {
  layout: Layout;
  installed: InstalledStore;
  supervisor: SupervisorClient;
  nowMs: number;
}

type RunningApp = OriginalApp & Required<Pick<OriginalApp, 'entry'>>;

/**
 * What an update of `app` takes over first. Another program of that name, which somebody wrote by hand, is not of the
 * original.
 */
export function findAdoptable(layout: Layout, app: string): RunningApp | undefined {
  const one = findOriginal(layout)?.apps.find((each) => each.app === app);
  return one?.entry === undefined ? undefined : { ...one, entry: one.entry };
}

/** What the original installed becomes the version before; a sentence for the report. */
export async function adoptForUpdate(adopter: Adopter, one: RunningApp): Promise<string> {
  await adoptVersion(adopter, one);
  await adoptEntry(adopter, one.app, one.entry);
  return `taken over from the original Gateway Engine: version ${one.version} and its program entry`;
}

/** Its version, unless that is recorded already. */
export async function adoptVersion(adopter: Adopter, one: OriginalApp): Promise<void> {
  const { layout, installed, nowMs } = adopter;
  const { active, refused } = installed.get(one.app);
  if (active !== undefined) return;
  const directory = await workingDirectory(adopter, one.app);
  const { record } = makeVersion(layout, one, { directory, nowMs });
  installed.set(one.app, { active: record, refused });
}

/** supervisord sees the same options: nothing is to be started. It may be down. */
export async function adoptEntry(
  { layout, supervisor }: Adopter,
  app: string,
  { path, text }: { path: string; text: string },
): Promise<void> {
  keepCopy(layout, path);
  writeFileDurable(path, ownEntryText(app, text), statSync(path).mode & 0o777);
  await supervisor.reloadConfig().catch(() => undefined);
}

/** Where the program runs now; what the original started without saying runs in supervisord's own directory. */
async function workingDirectory({ supervisor }: Adopter, app: string): Promise<string> {
  try {
    const all = await supervisor.getAllProcessInfo();
    const pid = all.find((info) => info.group === app)?.pid || (await supervisor.getPid());
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '/';
  }
}

/** The first one counts: what is there at a second run may be gwe's own. */
export function keepCopy(layout: Layout, path: string): void {
  const { kept } = originalPlaces(layout);
  const copy = join(kept, basename(path));
  if (existsSync(copy)) return;
  ensureDirectory(kept);
  copyFileDurable(path, copy, statSync(path).mode & 0o777);
}
