/** Whether an artifact may be installed: signatures, release, expiry, CPU, gwe version. Pure. */
import type { KeyObject } from 'node:crypto';
import { GweError } from '../../base/errors.ts';
import { quote } from '../faults.ts';
import { type ArtifactName, renderArtifactName } from '../name.ts';
import type { ArtifactIndex } from './index-guard.ts';
import type { Manifest } from './manifest.ts';
import { isSignedBy } from './signature.ts';

export interface TrustedKey {
  id: string;
  publicKey: KeyObject;
  /** The name that people know it by: that of its file. */
  name: string;
  /** The apps that it may vouch for; absent: all. */
  apps?: readonly string[];
  /** The products on whose gateways it may command, or list releases; absent: all. */
  products?: readonly string[];
  /** What its holder may do; absent: vouch for artifacts. */
  powers?: readonly KeyPower[];
}

/**
 * `artifacts`: what every key without powers may. `root`: the same, and a program may run as root where programs_as or
 * run_as says otherwise. `commands`: sign commands. `releases`: sign release lists, and have nothing else installed.
 */
export const KEY_POWERS = ['artifacts', 'root', 'commands', 'releases'] as const;
type KeyPower = (typeof KEY_POWERS)[number];

/** Whoever may only command is not asked about artifacts. */
export function vouchesForArtifacts({ powers }: Pick<TrustedKey, 'powers'>): boolean {
  return powers === undefined || powers.some((power) => power === 'artifacts' || power === 'root');
}

export interface TrustPolicy {
  /** Whether there is any key, even one that cannot be read: then nothing unsigned is installed. */
  isEnforced: boolean;
  keys: readonly TrustedKey[];
  /** Different keys that must have signed. */
  requireSignatures: number;
  /** Why the number is unknown; then nothing passes. */
  unreadable?: string;
}

interface HostFacts {
  /** As `architectures` in a manifest names it. */
  architecture: string;
  /** gwe's own version; `dev` is newer than all. */
  gweVersion: string;
}

/** What one signature is worth under the trusted `keys`. */
export interface SignatureVerdict {
  keyId: string;
  /** The name of the trusted key, if it is one. */
  signer?: string;
  /** `limited`: right, by a key that may not vouch for this app, or for no artifact. */
  verdict: 'good' | 'wrong' | 'unknown' | 'limited';
}

/** Every signature of the artifact, judged by `keys`. */
export function judgeSignatures(index: ArtifactIndex, keys: readonly TrustedKey[]): SignatureVerdict[] {
  return index.signatures.map((signature): SignatureVerdict => {
    const known = keys.filter((key) => key.id === signature.keyid);
    const [first] = known;
    if (first === undefined) return { keyId: signature.keyid, verdict: 'unknown' };
    const found = { keyId: signature.keyid, signer: first.name };
    if (!isSignedBy(first.publicKey, index.digest, signature)) return { ...found, verdict: 'wrong' };
    const mayVouch = known.some((key) => vouchesFor(key, index.manifest.name));
    return { ...found, verdict: mayVouch ? 'good' : 'limited' };
  });
}

function vouchesFor(key: TrustedKey, app: string): boolean {
  return vouchesForArtifacts(key) && (key.apps === undefined || key.apps.includes(app));
}

/**
 * Throws ARTIFACT_UNTRUSTED unless enough trusted keys have signed. Without a key on the gateway everything passes.
 * `what` names the artifact in the error.
 */
export function assertSigned(index: ArtifactIndex | undefined, policy: TrustPolicy, what: string): void {
  if (policy.unreadable !== undefined) throw unreadablePolicy(policy.unreadable);
  if (!policy.isEnforced) return;
  const needed = policy.requireSignatures;
  const refuse = (found: string): GweError =>
    new GweError(
      'ARTIFACT_UNTRUSTED',
      `cannot trust ${quote(what)}: ${found}, expected ${needed === 1 ? 'a signature' : `signatures of ${needed} keys`} ` +
        'that this gateway trusts (etc/gwe/keys.d); sign it with gwe sign and send the command again',
    );
  if (index === undefined || index.signatures.length === 0) throw refuse('it is not signed');
  const verdicts = judgeSignatures(index, policy.keys);
  // A key signs once: decodeSignatures refuses a list that names one twice.
  const good = verdicts.filter(({ verdict }) => verdict === 'good').length;
  if (good >= needed) return;
  throw refuse(
    good > 0 ? `${good} of ${needed} signatures are good (${describe(verdicts)})` : describe(verdicts),
  );
}

/** Somebody wanted more than the default, but it is unknown how many. */
export function unreadablePolicy(found: string): GweError {
  return new GweError(
    'CONFIG_INVALID',
    `cannot install anything: ${found}; correct it and send the command again`,
  );
}

const VERDICT_TEXTS: Readonly<Record<SignatureVerdict['verdict'], string>> = {
  good: 'signed by',
  wrong: 'a wrong signature of',
  unknown: 'signed by the unknown key',
  limited: 'signed for another app or purpose by',
};

function describe(verdicts: readonly SignatureVerdict[]): string {
  const texts = verdicts.map(({ verdict, signer, keyId }) => `${VERDICT_TEXTS[verdict]} ${signer ?? keyId}`);
  const more = texts.length > 4 ? `, and ${texts.length - 4} more` : '';
  return `${texts.slice(0, 4).join(', ')}${more}`;
}

/** Throws ARTIFACT_UNSUITABLE for the manifest of another artifact than was asked for, another CPU, or a newer gwe. */
export function assertSuitable(manifest: Manifest, asked: ArtifactName, host: HostFacts): void {
  const shown = renderArtifactName(asked);
  const refuse = (found: string, expected: string): GweError =>
    new GweError('ARTIFACT_UNSUITABLE', `cannot install '${shown}': ${found}, expected ${expected}`);
  if (manifest.name !== asked.name || manifest.version !== asked.version) {
    throw refuse(`its manifest is of '${renderArtifactName(manifest)}'`, 'its own');
  }
  const { architectures, minimum_gwe: minimum } = manifest;
  if (architectures !== undefined && !architectures.includes(host.architecture)) {
    throw refuse(`it is made for ${architectures.join(', ').slice(0, 80)}`, host.architecture);
  }
  if (minimum !== undefined && host.gweVersion !== 'dev' && compareVersions(host.gweVersion, minimum) < 0) {
    throw refuse(`this is gwe ${host.gweVersion}`, `${minimum} or newer: update gwe first`);
  }
}

/** Negative if `a` is older than `b`; what follows the numbers (`-rc1`) is ignored. */
export function compareVersions(a: string, b: string): number {
  const parts = (text: string): number[] => (/^\d+(\.\d+)*/.exec(text)?.[0] ?? '0').split('.').map(Number);
  const [left, right] = [parts(a), parts(b)];
  for (let at = 0; at < Math.max(left.length, right.length); at++) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** `2026-11-23T15:00:00Z`; the number where it is beyond all dates. */
function isoTime(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? String(seconds) : date.toISOString().replace('.000', '');
}

interface FreshnessFacts {
  /** The highest release of this app that this gateway has accepted. */
  highestRelease?: number;
  /** The latest moment that is known to have passed, Unix seconds. */
  nowS: number;
}

/**
 * Throws ARTIFACT_STALE for a signed manifest that has been overtaken. Only for what comes from outside: a version
 * that is on the gateway already was current when it came, and is what a rollback returns to.
 */
export function assertFresh(manifest: Manifest, facts: FreshnessFacts): void {
  const refuse = (found: string, expected: string): GweError => {
    const shown = renderArtifactName(manifest);
    return new GweError('ARTIFACT_STALE', `cannot install '${shown}': ${found}, expected ${expected}`);
  };
  if (manifest.expires !== undefined && manifest.expires <= facts.nowS) {
    throw refuse(
      `it expired at ${isoTime(manifest.expires)} (it is ${isoTime(facts.nowS)} or later)`,
      'one signed more lately',
    );
  }
  const { highestRelease } = facts;
  if (highestRelease === undefined) return;
  const { release, downgrade_from: permitted } = manifest;
  if (release !== undefined && release >= highestRelease) return;
  if (permitted?.includes(highestRelease) === true) return;
  const found = release === undefined ? 'it has no release number' : `it is release ${release}`;
  const remedy = `or one whose manifest says "downgrade_from": [${highestRelease}]`;
  throw refuse(found, `release ${highestRelease} or higher, which this gateway has seen, ${remedy}`);
}
