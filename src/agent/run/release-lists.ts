/**
 * What a trusted key for release lists demands: nothing is installed but what the newest list names (src/artifact/README.md,
 * "Release lists"). Versions on the disk, sets of keys and gwe's own way back are not asked about. Without such a key
 * nothing is.
 */
import type { ArtifactIndex } from '../../artifact/manifest/index-guard.ts';
import type { TrustedKey } from '../../artifact/manifest/policy.ts';
import {
  assertListed,
  decodeReleaseList,
  listKeys,
  listRefusal,
} from '../../artifact/manifest/release-list.ts';
import { KEYS_APP_NAME } from '../../artifact/name.ts';
import { GweError } from '../../base/errors.ts';
import { loadGatewayConfig } from '../../config/config-files.ts';
import { readGatewayKeys } from '../../store/gateway-keys.ts';
import { createInstalledStore } from '../../store/installed-store.ts';
import {
  highestListRelease,
  keepReleaseList,
  readReleaseList,
  type SeenList,
} from '../../store/release-lists.ts';
import type { AgentContext } from './context.ts';

type Places = Pick<AgentContext, 'layout' | 'settings'>;
type Times = Pick<AgentContext, 'clock' | 'clockFloor'>;

function productOf({ layout }: Pick<Places, 'layout'>): string {
  return loadGatewayConfig(layout.gatewayConfig).values.model;
}

function isWanted(context: Pick<Places, 'layout'>, keys: readonly TrustedKey[]): boolean {
  const may = keys.filter(({ powers }) => powers?.includes('releases') === true);
  return may.length > 0 && listKeys(may, productOf(context)).length > 0;
}

/** Whether this gateway wants release lists at all. */
export function wantsReleaseLists(context: Pick<Places, 'layout'>): boolean {
  return isWanted(context, readGatewayKeys(context.layout).keys);
}

/** As it would be accepted now: by the keys of now, and not below the highest that was seen. */
function presentList(context: Places): SeenList | undefined {
  const seen = readReleaseList(context.layout);
  if (seen === undefined || seen.list.release < (highestListRelease(context.layout) ?? 0)) return undefined;
  return refusalOf(context, seen) === undefined ? seen : undefined;
}

function refusalOf(context: Places, list: Parameters<typeof listRefusal>[0]): string | undefined {
  const { keys } = readGatewayKeys(context.layout);
  const { requireSignatures: needed } = context.settings();
  return listRefusal(list, productOf(context), { keys, needed });
}

/**
 * Keeps a list that came from the platform. Throws ARTIFACT_FORMAT, ARTIFACT_UNTRUSTED, ARTIFACT_STALE for one that is
 * not accepted: the one from before stays.
 */
export function acceptReleaseList(context: Places, bytes: Buffer, item: SeenList['item']): SeenList['list'] {
  const found = decodeReleaseList(bytes);
  const refusal = refusalOf(context, found);
  if (refusal !== undefined)
    throw new GweError('ARTIFACT_UNTRUSTED', `cannot accept release list ${found.list.release}: ${refusal}`);
  const highest = highestListRelease(context.layout) ?? 0;
  const before = readReleaseList(context.layout);
  const isOther = before?.list.release === found.list.release && before.digest !== found.digest;
  if (found.list.release < highest || isOther)
    throw new GweError(
      'ARTIFACT_STALE',
      `cannot accept release list ${found.list.release}: this gateway has seen ${highest}, expected a higher release${isOther ? ' for another content' : ''}`,
    );
  keepReleaseList(context.layout, bytes, { release: found.list.release, item });
  return found.list;
}

/** Throws ARTIFACT_UNLISTED, ARTIFACT_STALE for what a list is asked about and does not allow. */
export function assertReleased(
  context: Places & Times,
  keys: readonly TrustedKey[],
  { index, architecture }: { index: ArtifactIndex; architecture: string },
): void {
  const { name, version } = index.manifest;
  if (name === KEYS_APP_NAME || !isWanted(context, keys)) return;
  // What was accepted here once may be returned to.
  const { active, previous } = createInstalledStore(context.layout).get(name);
  if ([active, previous].some((one) => one?.digest === index.digest)) return;
  const seen = presentList(context);
  if (seen === undefined)
    throw new GweError(
      'ARTIFACT_UNLISTED',
      `cannot install '${name}' ${version}: this gateway wants a release list and has none that it trusts, expected 'gwe-releases' in the content area`,
    );
  assertListed(seen.list, index, architecture);
  if (!isStale(context, seen) || !context.settings().requireFreshReleases) return;
  throw new GweError(
    'ARTIFACT_STALE',
    `cannot install '${name}' ${version}: release list ${seen.list.release} has expired, expected a newer one`,
  );
}

/** By the clock or the latest time that is certain, whichever is later. */
function isStale({ clock, clockFloor }: Times, { list }: Pick<SeenList, 'list'>): boolean {
  return list.expires * 1000 <= Math.max(clockFloor.floorMs(), clock.wallMs());
}

export interface ReleaseState {
  state: 'fresh' | 'stale' | 'missing';
  release?: number;
  /** Unix seconds. */
  expires?: number;
  /** Where it installs what is new past that. */
  stale_ok?: true;
}

/** For the reports and `gwe doctor`; `undefined` where no list is wanted. */
export function releaseState(context: Places & Times): ReleaseState | undefined {
  if (!wantsReleaseLists(context)) return undefined;
  const seen = presentList(context);
  if (seen === undefined) return { state: 'missing' };
  const { release, expires } = seen.list;
  const state = isStale(context, seen) ? 'stale' : 'fresh';
  const isLenient = !context.settings().requireFreshReleases;
  return { state, release, expires, ...(isLenient ? { stale_ok: true } : {}) };
}
