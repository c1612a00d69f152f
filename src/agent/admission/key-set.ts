/**
 * The keys that this gateway trusts, as an artifact: rotation and revocation without a visit. The reserved app
 * `gwe-keys` holds `*.pub`, maybe `*.retired`, and no install.sh; no byte of it is executed. It replaces all present
 * keys, if enough of them have signed it, and enough of its own, so that there is somebody who can sign the next one.
 */
import { DEFAULT_LIMITS } from '../../artifact/limits.ts';
import { assertSigned } from '../../artifact/manifest/policy.ts';
import { assertTree, readTreeIndex } from '../../artifact/manifest/verify-tree.ts';
import { KEYS_APP_NAME, renderArtifactName } from '../../artifact/name.ts';
import { GweError } from '../../base/errors.ts';
import { readGatewayKeys, readKeyDecisions } from '../../store/gateway-keys.ts';
import { versionDirectory } from '../../store/layout.ts';
import { type KeyRing, readKeyRing, replaceKeys } from '../../store/trust.ts';
import { activate } from '../../store/versions.ts';
import type { CheckedTransaction } from '../../update/journal.ts';
import type { UpdateEffects } from '../../update/ports.ts';
import type { AgentContext } from '../run/context.ts';
import { trustPolicy } from './admission.ts';
import { keepSigners, lostWays } from './ways-back.ts';

type KeySetEffects = Pick<UpdateEffects, 'promoted' | 'installing' | 'activating' | 'rolling-back'>;

/** The states whose work differs from an app's. */
export function createKeySetEffects(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'installed'>,
): KeySetEffects {
  return {
    async promoted({ transaction }) {
      requireKeySet(context, transaction);
      return { event: 'done' };
    },
    /**
     * At no point between the old set and the new one is less trusted than before: after a crash, the next start
     * completes it.
     */
    async installing({ transaction }) {
      requireKeySet(context, transaction);
      const directory = versionDirectory(context.layout, KEYS_APP_NAME, transaction);
      keepSigners(context);
      replaceKeys(directory, context.layout.keysDirectory);
      const { keys, retired } = readGatewayKeys(context.layout);
      const notes = [
        `this gateway now trusts ${namesOf(keys)}`,
        ...(retired.length === 0 ? [] : [`it trusts ${namesOf(retired)} only for rollbacks`]),
        ...lostWays(context),
      ];
      context.log.info('trust.keys', { tx: transaction.id, keys: namesOf(keys) });
      return { event: 'done', learnt: { notes: [...transaction.notes, ...notes], exitCode: 0 } };
    },
    async activating({ transaction }) {
      activate(context.layout, transaction.app, transaction);
      return { event: 'one-off', learnt: { hasProgram: false } };
    },
    /** Only a disk that cannot be written leads here. What has been written by then is of a set that was accepted. */
    async 'rolling-back'() {
      return { event: 'done' };
    },
  };
}

/** Throws ARTIFACT_REFUSED or ARTIFACT_UNTRUSTED for a set that must not, or could not usefully, be accepted. */
function requireKeySet(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings'>,
  transaction: CheckedTransaction,
): void {
  const directory = versionDirectory(context.layout, KEYS_APP_NAME, transaction);
  const what = renderArtifactName({ name: transaction.app, version: transaction.version });
  const refuse = (found: string, expected: string): GweError =>
    new GweError('ARTIFACT_REFUSED', `cannot accept the keys of '${what}': ${found}, expected ${expected}`);
  const present = trustPolicy(context);
  if (!present.isEnforced) throw refuse('this gateway trusts no key yet', "a first one by 'gwe keys add'");
  const index = readTreeIndex(directory, transaction.digest, DEFAULT_LIMITS);
  assertSigned(index, present, what);
  if (index === undefined) throw refuse('it has no manifest', 'a signed one');
  assertTree(directory, index, []);
  if (index.manifest.release === undefined) {
    throw refuse('its manifest has no release number', 'one, so that no earlier set can return');
  }
  const { removed, lowestSet = 0 } = readKeyDecisions(context.layout);
  // Also for the set that is active: commanded once more, it must not undo what was decided here since.
  if (index.manifest.release < lowestSet)
    throw refuse(
      `it is release ${index.manifest.release}, and keys have been changed on this gateway since`,
      `release ${lowestSet} or higher`,
    );
  const ring = readKeyRing(directory);
  const fault = faultOf(ring);
  if (fault !== undefined) throw refuse(fault, 'NAME.pub or NAME.retired, one key each');
  const back = [...ring.keys, ...ring.retired].find(({ id }) => removed.some((key) => key.id === id));
  if (back !== undefined)
    throw refuse(
      `it holds key '${back.name}' (${back.id}), which was removed on this gateway`,
      "a set without it ('gwe keys add' here trusts it again)",
    );
  assertSigned(index, { ...present, keys: ring.keys }, `${what} (by its own keys)`);
}

function namesOf(keys: KeyRing['keys']): string {
  return keys.map(({ name }) => name).join(', ');
}

function faultOf({ keys, problems }: KeyRing): string | undefined {
  if (problems[0] !== undefined) return problems[0];
  return keys.length === 0 ? 'no key in it' : undefined;
}
