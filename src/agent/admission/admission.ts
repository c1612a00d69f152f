/** What this gateway demands of an artifact before anything of it runs: the policy of its keys, applied. */
import { dirname } from 'node:path';
import type { Admit, ArtifactIndex } from '../../artifact/manifest/index-guard.ts';
import {
  assertFresh,
  assertSigned,
  assertSuitable,
  type TrustedKey,
  type TrustPolicy,
  unreadablePolicy,
} from '../../artifact/manifest/policy.ts';
import { assertTree, readTreeIndex, readTreeManifest } from '../../artifact/manifest/verify-tree.ts';
import { type ArtifactName, renderArtifactName } from '../../artifact/name.ts';
import { KNOWN_FILES } from '../../artifact/unpack/contents.ts';
import { tightenDirectories, tightenTree } from '../../artifact/unpack/tighten.ts';
import { describeError, GweError } from '../../base/errors.ts';
import { readGatewayKeys } from '../../store/gateway-keys.ts';
import { appDirectory, type VersionId, versionDirectory } from '../../store/layout.ts';
import { createReleaseStore, type ReleaseStore } from '../../store/trust.ts';
import type { AgentContext } from '../run/context.ts';
import { assertReleased, wantsReleaseLists } from '../run/release-lists.ts';
import { artifactLimits } from './artifact-limits.ts';

type Context = Pick<AgentContext, 'layout' | 'log' | 'settings'>;

/** The name that manifests have for the CPU of this machine. */
function hostArchitecture(): string {
  return process.arch === 'arm' ? 'armv7l' : process.arch;
}

/** Read afresh at each use: a key that was removed is not trusted from then on. */
export function trustPolicy(context: Context): GatewayTrust {
  const ring = readGatewayKeys(context.layout);
  for (const problem of ring.problems) context.log.error('trust.key', {}, problem);
  const { requireSignatures, unreadable } = context.settings();
  return {
    isEnforced: ring.files.length > 0,
    keys: ring.keys,
    retired: ring.retired,
    requireSignatures,
    ...(unreadable === undefined ? {} : { unreadable: unreadable.join('; ') }),
  };
}

interface GatewayTrust extends TrustPolicy {
  /** Asked by `wayBackPolicy` alone. */
  retired: readonly TrustedKey[];
}

/** For rollbacks to what was accepted here: a retired key still counts for what it signed while it was trusted. */
export function wayBackPolicy(trust: GatewayTrust, { signers = [] }: Pick<Unpacked, 'signers'>): TrustPolicy {
  const stillGood = trust.retired.filter(({ id }) => signers.includes(id));
  return { ...trust, keys: [...trust.keys, ...stillGood] };
}

/** Throws CONFIG_INVALID while a setting that protects cannot be read. */
export function assertProtected({ settings }: Pick<AgentContext, 'settings'>): void {
  const { unreadable } = settings();
  if (unreadable !== undefined) throw unreadablePolicy(unreadable.join('; '));
}

/** Checks what comes from outside, over the air or from a file. */
export function createAdmission(
  context: Pick<AgentContext, 'layout' | 'clock' | 'log' | 'gweVersion' | 'settings' | 'clockFloor'>,
  artifact: ArtifactName,
): Admit {
  const policy = trustPolicy(context);
  return (index) => {
    assertSigned(index, policy, renderArtifactName(artifact));
    if (index === undefined) return;
    const host = { architecture: hostArchitecture(), gweVersion: context.gweVersion };
    assertSuitable(index.manifest, artifact, host);
    if (!policy.isEnforced) return;
    const highestRelease = releases(context).highest(artifact.name);
    const nowS = Math.floor(Math.max(context.clockFloor.floorMs(), context.clock.wallMs()) / 1000);
    assertFresh(index.manifest, { nowS, ...(highestRelease === undefined ? {} : { highestRelease }) });
    assertReleased(context, policy.keys, { index, architecture: hostArchitecture() });
  };
}

/** A version that waited for its time is asked about once more: the list of now counts. Throws ARTIFACT_*. */
export function assertStillReleased(
  context: Pick<AgentContext, 'layout' | 'settings' | 'clock' | 'clockFloor'>,
  { app, version, digest, staged }: VersionId & { app: string; staged?: unknown },
): void {
  if (staged === undefined || !wantsReleaseLists(context)) return;
  const { keys } = readGatewayKeys(context.layout);
  const index = readIndex(context, { app, version, digest });
  if (index !== undefined) assertReleased(context, keys, { index, architecture: hostArchitecture() });
}

/**
 * Remembers the release of an artifact that has passed every check. Only if there are keys: otherwise anybody could
 * write any number into an unsigned manifest.
 */
export function rememberRelease(context: Context, index: ArtifactIndex | undefined): void {
  const release = index?.manifest.release;
  if (index === undefined || release === undefined || !trustPolicy(context).isEnforced) return;
  releases(context).saw(index.manifest.name, release);
}

function releases(context: Pick<AgentContext, 'layout'>): ReleaseStore {
  return createReleaseStore(context.layout.releases);
}

export interface Unpacked extends VersionId {
  app: string;
  /** As in its record. */
  signers?: readonly string[] | undefined;
}

/** What a version on the disk is to be used for: a command names it, or it is the target of a rollback. */
type Use = 'command' | 'way-back';

/**
 * To be called before a version that is already on the disk is used again. With keys, throws ARTIFACT_UNTRUSTED or
 * ARTIFACT_MANIFEST unless it is signed, by keys that are trusted now, and still what was signed; for a way back keys
 * count that were trusted when it was committed and are retired now. Without, returns a note about what has changed: a
 * version that has worked is better than none.
 */
export function checkOnDisk(context: Context, unpacked: Unpacked, use: Use): string | undefined {
  const trust = trustPolicy(context);
  const policy = use === 'way-back' ? wayBackPolicy(trust, unpacked) : trust;
  try {
    const index = requireSignedIndex(context, unpacked, policy);
    if (index !== undefined) assertUnchanged(context, unpacked, index);
    return undefined;
  } catch (error) {
    if (policy.isEnforced || !(error instanceof GweError)) throw error;
    return `${renderArtifactName({ name: unpacked.app, version: unpacked.version })}: ${describeError(error)}`;
  }
}

/**
 * To be called right before a version is installed or rolled back to, after any wait: from here on only root
 * can change its files; they are then checked again, with the keys trusted now. Otherwise like `checkOnDisk`.
 */
export function checkBeforeUse(context: Context, unpacked: Unpacked, use: Use): string | undefined {
  try {
    const changed = tighten(context, unpacked);
    if (changed.length > 0)
      context.log.warn('trust.tightened', { app: unpacked.app, count: changed.length }, changed[0]);
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    context.log.warn('trust.tightened', { app: unpacked.app }, describeError(error));
  }
  return checkOnDisk(context, unpacked, use);
}

/** What leads to the version, and what it came with. Throws STORE_IO, ARTIFACT_*. */
function tighten(
  { layout, settings }: Pick<AgentContext, 'layout' | 'settings'>,
  unpacked: Unpacked,
): string[] {
  const { appsDirectory, keysDirectory, stateDirectory } = layout;
  const own = [dirname(appsDirectory), appsDirectory, appDirectory(layout, unpacked.app)];
  const uid = process.getuid?.() ?? 0;
  const above = tightenDirectories([...own, dirname(keysDirectory), keysDirectory, stateDirectory], uid);
  const directory = versionDirectory(layout, unpacked.app, unpacked);
  const manifest = readTreeManifest(directory, artifactLimits(settings()));
  return [...above, ...(manifest === undefined ? [] : tightenTree(directory, manifest, uid))];
}

/** Whether `checkOnDisk` would let it pass. */
export function isUsable(context: Context, unpacked: Unpacked, use: Use): boolean {
  try {
    checkOnDisk(context, unpacked, use);
    return true;
  } catch (error) {
    if (error instanceof GweError && error.isRejection) return false;
    throw error;
  }
}

/** A sentence if install.sh has changed what it came with, so that no rollback to this version would be possible. */
export function noteChangedByInstall(context: Context, unpacked: Unpacked): string | undefined {
  if (!trustPolicy(context).isEnforced || isUnchanged(context, unpacked)) return undefined;
  return 'install.sh has changed files that it came with: no rollback can use this version (change copies instead)';
}

/** Whether it still has a manifest, and matches it; signatures are not checked. */
function isUnchanged(context: Pick<AgentContext, 'layout' | 'settings'>, unpacked: Unpacked): boolean {
  try {
    const index = readIndex(context, unpacked);
    if (index === undefined) return false;
    assertUnchanged(context, unpacked, index);
    return true;
  } catch (error) {
    if (error instanceof GweError && error.isRejection) return false;
    throw error;
  }
}

export function requireSignedIndex(
  context: Pick<AgentContext, 'layout' | 'settings'>,
  unpacked: Unpacked,
  policy: TrustPolicy,
): ArtifactIndex | undefined {
  const index = readIndex(context, unpacked);
  assertSigned(index, policy, renderArtifactName({ name: unpacked.app, version: unpacked.version }));
  return index;
}

/** `undefined` for a tree without a manifest. */
export function readIndex(
  context: Pick<AgentContext, 'layout' | 'settings'>,
  unpacked: Unpacked,
): ArtifactIndex | undefined {
  const directory = versionDirectory(context.layout, unpacked.app, unpacked);
  return readTreeIndex(directory, unpacked.digest, artifactLimits(context.settings()));
}

function assertUnchanged(
  context: Pick<AgentContext, 'layout'>,
  unpacked: Unpacked,
  index: ArtifactIndex,
): void {
  assertTree(versionDirectory(context.layout, unpacked.app, unpacked), index, KNOWN_FILES);
}
