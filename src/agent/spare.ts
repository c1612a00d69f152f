/**
 * What is kept on the gateway as long as there is room: versions that failed (much of the mended one is in them) and
 * what broken-off downloads got. An update that would not fit without it may have its place.
 */
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { RESERVED_APP_NAME } from '../artifact/name.ts';
import { listDirectory, readLink, removeTree } from '../base/fs.ts';
import type { ContentApi } from '../protocol/content.ts';
import { type LeftDownload, listDownloads, removeDownload } from '../store/downloads.ts';
import { appDirectory, currentLink, versionDirectoryName, versionOfDirectory } from '../store/layout.ts';
import { listParts, listVersions } from '../store/versions.ts';
import type { AgentContext } from './context.ts';
import { type Asked, type Preflight, preflight } from './preflight.ts';
import { lackOfRoom } from './space.ts';

/** Downloads that nobody has gone on with for so long are of no use any more. */
const LONGEST_LEFT_MS = 30 * 24 * 3600 * 1000;
/** The ones written last are kept, of as many items at the most. */
const MOST_LEFT = 8;

/** Directories of versions of `app` that failed, and are neither active nor what there is to go back to. */
export function failedVersions(context: AgentContext, app: string): string[] {
  // The launcher decides by what is there which gwe to start.
  if (app === RESERVED_APP_NAME) return [];
  const { active, previous, refused } = context.installed.get(app);
  const nameOf = (directory: string, digest: string): boolean =>
    directory === versionDirectoryName(versionOfDirectory(directory), digest);
  const current = readLink(currentLink(context.layout, app));
  return listVersions(context.layout, app).filter(
    (name) =>
      name !== current &&
      ![active, previous].some((kept) => kept !== undefined && nameOf(name, kept.digest)) &&
      refused.some(({ digest }) => nameOf(name, digest)),
  );
}

export function removeVersions(context: AgentContext, app: string, names: readonly string[]): void {
  for (const name of names) removeTree(join(appDirectory(context.layout, app), name));
  if (names.length > 0) context.log.info('store.prune', { app, removed: names.join(',') });
}

/**
 * Removes what broken-off downloads left and nobody will go on with: of an app that has been updated since (`done`), of
 * long ago, and of more items than are worth keeping. Never those of `keep`.
 */
export function sweepDownloads(context: AgentContext, keep: readonly string[], done?: string): void {
  const { clock, clockFloor, layout } = context;
  // A clock that was never set tells nothing of age; one that is wrong costs a few bytes fetched again.
  const oldestMs = clockFloor.isBelow() ? 0 : clock.wallMs() - LONGEST_LEFT_MS;
  const others = listDownloads(layout).filter(({ contentId }) => !keep.includes(contentId));
  const isUseless = ({ contentId, writtenMs }: LeftDownload, index: number): boolean =>
    index >= MOST_LEFT || writtenMs < oldestMs || (done !== undefined && contentId.startsWith(`${done}.v`));
  for (const left of others.filter(isUseless)) removeDownload(left);
}

export interface Spare {
  bytes: number;
  inodes: number;
  remove(): void;
}

/** What an update of `contentId` may have the place of. */
export function findSpare(context: AgentContext, contentId: string): Spare {
  const { layout } = context;
  const downloads = listDownloads(layout).filter((left) => left.contentId !== contentId);
  const failed = listDirectory(layout.appsDirectory).flatMap((app) =>
    failedVersions(context, app).map((name) => ({ app, name })),
  );
  const halves = listDirectory(layout.appsDirectory).flatMap((app) =>
    contentId.startsWith(`${app}.v`) ? [] : listParts(layout, app),
  );
  const parts = [
    ...halves.map(measureTree),
    ...downloads.map(({ sizeBytes, files }) => ({ bytes: sizeBytes, inodes: files.length })),
    ...failed.map(({ app, name }) => measureTree(join(appDirectory(layout, app), name))),
  ];
  return {
    bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
    inodes: parts.reduce((sum, { inodes }) => sum + inodes, 0),
    remove() {
      for (const left of downloads) removeDownload(left);
      for (const half of halves) removeTree(half);
      for (const { app, name } of failed) removeVersions(context, app, [name]);
    },
  };
}

/** Whether an update that does not fit would, without what can be spared. */
export function wouldFitWithout({ bytes, inodes }: Spare, { rooms, refusal }: Preflight): boolean {
  if (refusal?.code !== 'STORE_NO_SPACE' || inodes === 0) return false;
  const roomier = rooms.map((room) => ({
    ...room,
    freeBytes: room.freeBytes + bytes,
    ...(room.freeInodes === undefined ? {} : { freeInodes: room.freeInodes + inodes }),
  }));
  return lackOfRoom('fetch', roomier) === undefined;
}

/** As `preflight`, after what can be spared has been removed if the update does not fit otherwise. */
export async function preflightWithRoom(
  context: AgentContext,
  content: ContentApi | undefined,
  asked: Asked,
  signal: AbortSignal,
): Promise<Preflight> {
  const found = await preflight(context, content, asked, signal);
  if (found.refusal?.code !== 'STORE_NO_SPACE') return found;
  const spare = findSpare(context, asked.contentId);
  if (!wouldFitWithout(spare, found)) return found;
  context.log.info('store.make-room', { app: asked.app, bytes: spare.bytes }, found.refusal.message);
  spare.remove();
  return preflight(context, content, asked, signal);
}

const BLOCK_BYTES = 512;

function measureTree(path: string): { bytes: number; inodes: number } {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return { bytes: 0, inodes: 0 };
  const below = stat.isDirectory() ? listDirectory(path).map((name) => measureTree(join(path, name))) : [];
  return {
    bytes: below.reduce((sum, { bytes }) => sum + bytes, stat.blocks * BLOCK_BYTES),
    inodes: below.reduce((sum, { inodes }) => sum + inodes, 1),
  };
}
