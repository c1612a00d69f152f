/**
 * What is kept on the gateway as long as there is room: versions that failed (much of the corrected one is in them) and
 * what interrupted downloads have fetched. An update that does not fit otherwise may use their space.
 */
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { RESERVED_APP_NAME } from '../../artifact/name.ts';
import type { Clock } from '../../base/clock.ts';
import { listDirectory, readLink } from '../../base/fs.ts';
import { mountPointsIn } from '../../base/mount-points.ts';
import { listDownloads, type StoredDownload } from '../../store/downloads.ts';
import {
  appDirectory,
  currentLink,
  type Layout,
  versionDirectoryName,
  versionOfDirectory,
} from '../../store/layout.ts';
import * as versions from '../../store/versions.ts';
import type { AgentContext } from '../run/context.ts';
import { warnMounted } from '../run/mounted.ts';
import type { UpdateRequest } from '../run/update-request.ts';
import { type Preflight, type PreflightOptions, preflight } from './preflight.ts';
import { lackOfRoom } from './space.ts';

/** Downloads that have not been continued for this long are of no use. */
const LONGEST_LEFT_MS = 30 * 24 * 3600 * 1000;
/** The most recent ones are kept, of at most this many items. */
const MOST_LEFT = 8;

/** What knows and holds versions and downloads. */
type Store = Pick<AgentContext, 'installed' | 'layout' | 'log' | 'parked'>;

/** Directories of versions of `app` that failed, and are neither active nor what there is to go back to. */
export function failedVersions(context: Store, app: string): string[] {
  // The launcher decides by what is there which gwe to start.
  if (app === RESERVED_APP_NAME) return [];
  const { active, previous, refused } = context.installed.get(app);
  const nameOf = (directory: string, digest: string): boolean =>
    directory === versionDirectoryName({ version: versionOfDirectory(directory), digest });
  const parked = context.parked.all().filter((one) => one.app === app);
  const current = readLink(currentLink(context.layout, app));
  return versions
    .listVersions(context.layout, app)
    .filter(
      (name) =>
        name !== current &&
        ![active, previous, ...parked].some((kept) => kept !== undefined && nameOf(name, kept.digest)) &&
        refused.some(({ digest }) => nameOf(name, digest)),
    );
}

export function removeVersions(context: Store, app: string, names: readonly string[]): void {
  if (names.length === 0) return;
  const cleared = versions.removeVersions(context.layout, app, names);
  warnMounted(context, cleared);
  const removed = cleared.removed.join(',');
  if (removed !== '') context.log.info('store.prune', { app, removed });
}

/** What tells how old a download is. */
interface Aging {
  layout: Layout;
  clock: Pick<Clock, 'wallMs'>;
  clockFloor: Pick<AgentContext['clockFloor'], 'isBelow'>;
}

/**
 * Removes what interrupted downloads left and nothing will continue: of an app that has been updated since (`done`), of
 * long ago, and of more items than are worth keeping. Never those of `keep`.
 */
export function sweepDownloads(context: Aging, keep: readonly string[], done?: string): void {
  const { clock, clockFloor, layout } = context;
  // A clock that was never set says nothing about age; a wrong one costs a few bytes fetched again.
  const oldestMs = clockFloor.isBelow() ? 0 : clock.wallMs() - LONGEST_LEFT_MS;
  const isUseless = ({ contentId, writtenMs }: StoredDownload, index: number): boolean =>
    index >= MOST_LEFT || writtenMs < oldestMs || (done !== undefined && contentId.startsWith(`${done}.v`));
  for (const { files } of listDownloads(layout, keep).filter(isUseless)) files.remove();
}

/** What is kept only as long as there is room for it. */
export interface Expendable {
  bytes: number;
  inodes: number;
  remove(): void;
}

/** What may be removed for an update of `contentId`. */
export function findExpendable(context: Store, contentId: string): Expendable {
  const { layout } = context;
  const downloads = listDownloads(layout, [contentId]);
  const apps = listDirectory(layout.appsDirectory);
  const failed = apps.flatMap((app) =>
    failedVersions(context, app)
      .filter((name) => isUnmounted(join(appDirectory(layout, app), name)))
      .map((name) => ({ app, name })),
  );
  const halves = apps
    .filter((app) => !contentId.startsWith(`${app}.v`))
    .flatMap((app) =>
      versions
        .listParts(layout, app)
        .filter(isUnmounted)
        .map((path) => ({ app, path })),
    );
  const parts = [
    ...halves.map(({ path }) => measureTree(path)),
    ...downloads.map(({ sizeBytes, inodes }) => ({ bytes: sizeBytes, inodes })),
    ...failed.map(({ app, name }) => measureTree(join(appDirectory(layout, app), name))),
  ];
  return {
    bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
    inodes: parts.reduce((sum, { inodes }) => sum + inodes, 0),
    remove() {
      for (const { files } of downloads) files.remove();
      for (const { app } of halves) warnMounted(context, versions.removeParts(layout, app));
      for (const { app, name } of failed) removeVersions(context, app, [name]);
    },
  };
}

/** Whether an update that does not fit would, without what is expendable. */
export function wouldFitWithout(
  { bytes, inodes }: Expendable,
  { rooms, refusal }: Pick<Preflight, 'rooms' | 'refusal'>,
): boolean {
  if (refusal?.code !== 'STORE_NO_SPACE' || inodes === 0) return false;
  const roomier = rooms.map((room) => ({
    ...room,
    freeBytes: room.freeBytes + bytes,
    ...(room.freeInodes === undefined ? {} : { freeInodes: room.freeInodes + inodes }),
  }));
  return lackOfRoom('fetch', roomier) === undefined;
}

/** As `preflight`, after what is expendable has been removed if the update does not fit otherwise. */
export async function preflightWithRoom(
  context: Pick<
    AgentContext,
    'layout' | 'clock' | 'log' | 'gweVersion' | 'settings' | 'installed' | 'clockFloor' | 'parked'
  >,
  request: UpdateRequest,
  options: PreflightOptions,
): Promise<Preflight> {
  const found = await preflight(context, request, options);
  if (found.refusal?.code !== 'STORE_NO_SPACE') return found;
  const expendable = findExpendable(context, request.contentId);
  if (!wouldFitWithout(expendable, found)) return found;
  context.log.info('store.make-room', { app: request.app, bytes: expendable.bytes }, found.refusal.message);
  expendable.remove();
  return preflight(context, request, options);
}

/** What something is mounted in cannot be removed, and its size would be that of what is mounted. */
function isUnmounted(path: string): boolean {
  return mountPointsIn(path).length === 0;
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
