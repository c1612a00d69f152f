/** What this gateway demands of an artifact before anything of it runs: the policy of its keys, applied. */
import { join } from 'node:path';
import { KNOWN_FILES } from '../artifact/contents.ts';
import type { Admit, ArtifactIndex } from '../artifact/index-guard.ts';
import { type ArtifactName, renderArtifactName } from '../artifact/name.ts';
import { assertFresh, assertSigned, assertSuitable, type TrustPolicy } from '../artifact/policy.ts';
import { assertTree, readTreeIndex } from '../artifact/verify-tree.ts';
import { describeError, GweError } from '../base/errors.ts';
import { versionDirectory } from '../store/layout.ts';
import { createReleaseStore, type ReleaseStore, readKeyRing } from '../store/trust.ts';
import type { AgentContext } from './context.ts';
import { artifactLimits } from './limits.ts';

/** The name that manifests have for the CPU of this machine. */
export function hostArchitecture(): string {
  return process.arch === 'arm' ? 'armv7l' : process.arch;
}

/** Read afresh at each use: a key that was removed vouches for nothing from then on. */
export function trustPolicy(context: AgentContext): TrustPolicy {
  const ring = readKeyRing(context.layout.keysDirectory);
  for (const problem of ring.problems) context.log.warn('trust.key', {}, problem);
  return {
    isEnforced: ring.files.length > 0,
    keys: ring.keys,
    requireSignatures: context.settings().requireSignatures,
  };
}

/** Judges what comes from outside, over the air or from a file. */
export function createAdmission(context: AgentContext, asked: ArtifactName): Admit {
  const policy = trustPolicy(context);
  return (index) => {
    assertSigned(index, policy, renderArtifactName(asked));
    if (index === undefined) return;
    const host = { architecture: hostArchitecture(), gweVersion: context.gweVersion };
    assertSuitable(index.manifest, asked, host);
    if (!policy.isEnforced) return;
    const highestRelease = releases(context).highest(asked.name);
    const nowS = Math.floor(Math.max(context.clockFloor.floorMs(), context.clock.wallMs()) / 1000);
    assertFresh(index.manifest, { nowS, ...(highestRelease === undefined ? {} : { highestRelease }) });
  };
}

/**
 * Remembers the release of an artifact that has passed every check. Only with keys: anybody could write any number
 * into a manifest that nobody has signed.
 */
export function rememberRelease(context: AgentContext, index: ArtifactIndex | undefined): void {
  const release = index?.manifest.release;
  if (index === undefined || release === undefined || !trustPolicy(context).isEnforced) return;
  releases(context).saw(index.manifest.name, release);
}

function releases(context: AgentContext): ReleaseStore {
  return createReleaseStore(join(context.layout.stateDirectory, 'releases.json'));
}

interface Unpacked {
  app: string;
  version: string;
  digest: string;
}

/**
 * To be called before a version that is on the disk already is used again. With keys, throws ARTIFACT_UNTRUSTED or
 * ARTIFACT_MANIFEST unless it is signed, by keys that are trusted now, and still what was signed. Without, returns a
 * note about what has changed: a version that worked is better than none.
 */
export function checkOnDisk(context: AgentContext, unpacked: Unpacked): string | undefined {
  const policy = trustPolicy(context);
  try {
    const index = requireSignedIndex(context, unpacked, policy);
    if (index !== undefined) assertUnchanged(context, unpacked, index);
    return undefined;
  } catch (error) {
    if (policy.isEnforced || !(error instanceof GweError)) throw error;
    return `${renderArtifactName({ name: unpacked.app, version: unpacked.version })}: ${describeError(error)}`;
  }
}

/** Whether `checkOnDisk` would let it pass. */
export function isUsable(context: AgentContext, unpacked: Unpacked): boolean {
  try {
    checkOnDisk(context, unpacked);
    return true;
  } catch (error) {
    if (error instanceof GweError && error.isRejection) return false;
    throw error;
  }
}

/** A sentence if a failed update could not go back to `active`, as far as its signatures tell. */
export function noteNoWayBack(context: AgentContext, active: Unpacked): string | undefined {
  try {
    requireSignedIndex(context, active, trustPolicy(context));
    return undefined;
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    return `a failed update could not go back to version ${active.version}: ${describeError(error)}`;
  }
}

/** A sentence if install.sh has changed what it came with, so that nothing could go back to this version. */
export function noteChangedByInstall(context: AgentContext, unpacked: Unpacked): string | undefined {
  if (!trustPolicy(context).isEnforced || isUsable(context, unpacked)) return undefined;
  return 'install.sh has changed files that it came with: no rollback can use this version (change copies instead)';
}

function requireSignedIndex(
  context: AgentContext,
  unpacked: Unpacked,
  policy: TrustPolicy,
): ArtifactIndex | undefined {
  const limits = artifactLimits(context.settings());
  const index = readTreeIndex(directoryOf(context, unpacked), unpacked.digest, limits);
  assertSigned(index, policy, renderArtifactName({ name: unpacked.app, version: unpacked.version }));
  return index;
}

function assertUnchanged(context: AgentContext, unpacked: Unpacked, index: ArtifactIndex): void {
  assertTree(directoryOf(context, unpacked), index, KNOWN_FILES);
}

function directoryOf({ layout }: AgentContext, { app, version, digest }: Unpacked): string {
  return versionDirectory(layout, app, version, digest);
}
