/** What a transaction leaves on the disk that is no longer needed: downloads and old versions. */
import { join } from 'node:path';
import { RESERVED_APP_NAME } from '../../artifact/name.ts';
import type { VersionRecord } from '../../artifact/record.ts';
import { readLink } from '../../base/fs.ts';
import { describeMount, mountPointsIn } from '../../base/mount-points.ts';
import { itemFiles } from '../../store/downloads.ts';
import { readHistory } from '../../store/history.ts';
import {
  appDirectory,
  currentLink,
  previousLink,
  versionDirectoryName,
  versionOfDirectory,
} from '../../store/layout.ts';
import { readAppVersions } from '../../store/version-list.ts';
import { removeParts, unneededVersions } from '../../store/versions.ts';
import type { Transaction } from '../../update/journal.ts';
import { isRejection } from '../../update/runner.ts';
import { failedVersions, removeVersions } from '../preflight/make-room.ts';
import type { AgentContext } from '../run/context.ts';
import { warnMounted } from '../run/mounted.ts';

type Context = Pick<AgentContext, 'layout' | 'log' | 'installed' | 'parked'>;
type TidyContext = Context & Pick<AgentContext, 'settings'>;

/** A finished, hopeless or cancelled download goes; one that a network fault cut short stays for the next command. */
export function removeDownload(
  context: Pick<AgentContext, 'layout' | 'log'>,
  transaction: Transaction,
): void {
  const { failure, app, source } = transaction;
  const isUnwanted = isRejection(failure) || transaction.isCancelled === true;
  const isWorthKeeping = failure?.state === 'downloading' && !isUnwanted;
  if (source.kind !== 'content' || isWorthKeeping) return;
  itemFiles(context.layout, transaction.contentId).remove();
  if (transaction.state !== 'failed' || isUnwanted) warnMounted(context, removeParts(context.layout, app));
}

/**
 * A version that was taken back stays until the next success: the corrected one is fetched by what it has in common
 * with it, and people may look into it. If space is short, even that is removed (`findExpendable`).
 */
export function keepLastFailed(context: TidyContext, transaction: Transaction): void {
  const { app, version, digest, previous } = transaction;
  if (digest === undefined) return;
  keepLastTried(context, transaction);
  // Taken back for no fault of its own: nothing says later that it was.
  const isRefused = context.installed.get(app).refused.some((refusal) => refusal.digest === digest);
  if (!isRefused) removeUnused(context, app, versionDirectoryName({ version, digest }), previous);
}

/**
 * The last version that was tried and did not become active stays, perhaps for its next try: what was left
 * before it goes, or every command would take room until one succeeds.
 */
export function keepLastTried(context: TidyContext, { app, version, digest }: Transaction): void {
  if (digest === undefined) return;
  const own = versionDirectoryName({ version, digest });
  const keep = [own, ...waysBack(context, app)];
  removeVersions(
    context,
    app,
    failedVersions(context, app).filter((name) => name !== own),
  );
  const room = { most: context.settings().keepVersions + 1, order: orderOfUse(context, app) };
  removeVersions(context, app, unneededVersions(context.layout, app, keep, room));
}

/** The active version, the one before it, what is to be installed later and, of gwe, the one that the launcher goes back to. */
function waysBack(context: Context, app: string): string[] {
  const { active, previous } = context.installed.get(app);
  const records = [active, previous].flatMap((record) =>
    record === undefined ? [] : [versionDirectoryName(record)],
  );
  const parked = context.parked.all().filter((one) => one.app === app);
  const fallback = app === RESERVED_APP_NAME ? readLink(previousLink(context.layout, app)) : undefined;
  return [...records, ...parked.map(versionDirectoryName), ...(fallback === undefined ? [] : [fallback])];
}

/** Versions of `app` in the order of their updates. */
function orderOfUse({ layout }: Pick<Context, 'layout'>, app: string): string[] {
  return readHistory(layout)
    .filter((entry) => entry.app === app)
    .map((entry) => entry.version);
}

/** What a cancelled update had unpacked goes with it. */
export function removeCancelled(context: Context, transaction: Transaction): void {
  const { app, version, digest, previous } = transaction;
  if (digest !== undefined) removeUnused(context, app, versionDirectoryName({ version, digest }), previous);
}

function removeUnused(context: Context, app: string, name: string, before: VersionRecord | undefined): void {
  const { active, previous } = context.installed.get(app);
  const parked = context.parked.all().filter((one) => one.app === app);
  const isKept = [active, previous, before, ...parked].some(
    (record) => record !== undefined && versionDirectoryName(record) === name,
  );
  const isCurrent = readLink(currentLink(context.layout, app)) === name;
  if (!isKept && !isCurrent && app !== RESERVED_APP_NAME) removeVersions(context, app, [name]);
}

export function pruneVersions(context: TidyContext, app: string): void {
  removeVersions(context, app, spentVersions(context, app, waysBack(context, app)));
}

/** What a success that keeps the versions `keep` leaves without any use: versions that failed, and old ones. */
function spentVersions(context: TidyContext, app: string, keep: readonly string[]): string[] {
  const failed = failedVersions(context, app).filter((name) => !keep.includes(name));
  const fallback = app === RESERVED_APP_NAME ? readLink(previousLink(context.layout, app)) : undefined;
  const kept = [...keep, ...failed, ...(fallback === undefined ? [] : [fallback])];
  const order = orderOfUse(context, app);
  const most = failed.length + context.settings().keepVersions;
  return [...failed, ...unneededVersions(context.layout, app, kept, { most, order })];
}

/** A sentence for each old version that a success cannot remove, because something is mounted in it. */
export function noteMounted(context: TidyContext, { app, version, digest, previous }: Transaction): string[] {
  const keep = [{ version, digest: digest ?? '' }, ...(previous === undefined ? [] : [previous])];
  const names = keep.map(versionDirectoryName);
  const late = readAppVersions(context.layout, app).removing.filter((name) => !names.includes(name));
  return [...late, ...spentVersions(context, app, names)].flatMap((name) => {
    const [mount] = mountPointsIn(join(appDirectory(context.layout, app), name));
    if (mount === undefined) return [];
    const what = `${describeMount(mount)} is mounted in it`;
    return [
      `version ${versionOfDirectory(name)} stays on the disk: ${what}; unmount it, and gwe removes the version later`,
    ];
  });
}
