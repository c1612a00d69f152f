/**
 * The keys that this gateway trusts, as an artifact: rotation and revocation without a visit. The reserved app
 * `gwe-keys` holds `*.pub` and no install.sh; no byte of it is executed. It takes the place of all keys there are,
 * when enough of these have signed it, and enough of its own, so that somebody is left who can sign the next one.
 */
import { DEFAULT_LIMITS } from '../artifact/limits.ts';
import { KEYS_APP_NAME, renderArtifactName } from '../artifact/name.ts';
import { assertSigned } from '../artifact/policy.ts';
import { assertTree, readTreeIndex } from '../artifact/verify-tree.ts';
import { GweError } from '../base/errors.ts';
import { versionDirectory } from '../store/layout.ts';
import { type KeyRing, readKeyRing, replaceKeys } from '../store/trust.ts';
import { activate } from '../store/versions.ts';
import type { Transaction } from '../update/journal.ts';
import type { UpdateEffects } from '../update/ports.ts';
import type { AgentContext } from './context.ts';
import { trustPolicy } from './trust.ts';

type KeySetEffects = Pick<UpdateEffects, 'promoted' | 'installing' | 'activating' | 'rolling-back'>;

/** The states whose work differs from an app's. */
export function createKeySetEffects(context: AgentContext): KeySetEffects {
  return {
    async promoted({ transaction }) {
      requireKeySet(context, transaction);
      return { event: 'done' };
    },
    /** Nothing between the old set and the new one trusts less than the old: a crash here is finished at the next start. */
    async installing({ transaction }) {
      const directory = directoryOf(context, transaction);
      replaceKeys(directory, context.layout.keysDirectory);
      const names = readKeyRing(context.layout.keysDirectory).keys.map(({ name }) => name);
      const note = `this gateway now trusts ${names.join(', ')}`;
      context.log.info('trust.keys', { tx: transaction.id, keys: names.join(',') });
      return { event: 'done', learnt: { notes: [...transaction.notes, note], exitCode: 0 } };
    },
    async activating({ transaction }) {
      const { app, version } = transaction;
      activate(context.layout, app, { version, digest: requireDigest(transaction) });
      return { event: 'one-off', learnt: { hasProgram: false } };
    },
    /** Only a disk that cannot be written leads here. What has been written by then is of a set that was accepted. */
    async 'rolling-back'() {
      return { event: 'done' };
    },
  };
}

/** Throws ARTIFACT_REFUSED or ARTIFACT_UNTRUSTED for a set that must not, or could not usefully, take over. */
function requireKeySet(context: AgentContext, transaction: Transaction): void {
  const directory = directoryOf(context, transaction);
  const what = renderArtifactName({ name: transaction.app, version: transaction.version });
  const refuse = (found: string, expected: string): GweError =>
    new GweError(
      'ARTIFACT_REFUSED',
      `cannot take over the keys of '${what}': ${found}, expected ${expected}`,
    );
  const present = trustPolicy(context);
  if (!present.isEnforced) throw refuse('this gateway trusts no key yet', "a first one by 'gwe keys add'");
  const index = readTreeIndex(directory, requireDigest(transaction), DEFAULT_LIMITS);
  assertSigned(index, present, what);
  if (index === undefined) throw refuse('it has no manifest', 'a signed one');
  assertTree(directory, index, []);
  if (index.manifest.release === undefined) {
    throw refuse('its manifest has no release number', 'one, so that no earlier set can come back');
  }
  const ring = readKeyRing(directory);
  const fault = faultOf(ring);
  if (fault !== undefined) throw refuse(fault, 'NAME.pub, one key each');
  assertSigned(index, { ...present, keys: ring.keys }, `${what} (by its own keys)`);
}

function faultOf({ keys, problems }: KeyRing): string | undefined {
  if (problems[0] !== undefined) return problems[0];
  return keys.length === 0 ? 'no key in it' : undefined;
}

function directoryOf(context: AgentContext, transaction: Transaction): string {
  return versionDirectory(context.layout, KEYS_APP_NAME, transaction.version, requireDigest(transaction));
}

function requireDigest({ digest }: Transaction): string {
  if (digest !== undefined) return digest;
  throw new GweError('STORE_IO', 'cannot go on with the keys: the journal holds no digest');
}
