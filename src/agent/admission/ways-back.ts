/** Which versions a failed update could be rolled back to, and whose signatures allow it. */
import { judgeSignatures, type TrustPolicy } from '../../artifact/manifest/policy.ts';
import { KEYS_APP_NAME, RESERVED_APP_NAME } from '../../artifact/name.ts';
import type { VersionRecord } from '../../artifact/record.ts';
import { describeError, GweError } from '../../base/errors.ts';
import type { KeyRing } from '../../store/trust.ts';
import type { AgentContext } from '../run/context.ts';
import { readIndex, requireSignedIndex, trustPolicy, type Unpacked, wayBackPolicy } from './admission.ts';

type Context = Pick<AgentContext, 'layout' | 'log' | 'settings'>;
type AppsContext = Context & Pick<AgentContext, 'installed'>;

/** A sentence if its signatures would not allow a rollback to `active`. */
export function noteNoWayBack(context: Context, active: Unpacked): string | undefined {
  return noteRefusal(context, active, wayBackPolicy(trustPolicy(context), active));
}

/**
 * One sentence for each app whose active version a failed update could not be rolled back to, because no trusted key
 * signed it.
 */
export function lostWays(context: AppsContext): string[] {
  const trust = trustPolicy(context);
  return namedWays(context, (active) => wayBackPolicy(trust, active));
}

/** The same once `set` has replaced the keys that are trusted now. */
export function lostWaysUnder(context: AppsContext, set: Pick<KeyRing, 'keys' | 'retired'>): string[] {
  const now = trustPolicy(context);
  const ids = now.keys.map(({ id }) => id);
  const then = { ...now, ...set };
  return namedWays(context, (active) =>
    wayBackPolicy(then, { signers: [...ids, ...(active.signers ?? [])] }),
  );
}

function namedWays(
  context: Pick<AgentContext, 'layout' | 'settings' | 'installed'>,
  policyFor: (active: Unpacked) => TrustPolicy,
): string[] {
  return Object.entries(context.installed.all()).flatMap(([app, { active }]) => {
    if (active === undefined || app === RESERVED_APP_NAME || app === KEYS_APP_NAME) return [];
    const unpacked = { app, ...active };
    const note = noteRefusal(context, unpacked, policyFor(unpacked));
    return note === undefined ? [] : [`app '${app}': ${note}`];
  });
}

function noteRefusal(
  context: Pick<AgentContext, 'layout' | 'settings'>,
  active: Unpacked,
  policy: TrustPolicy,
): string | undefined {
  try {
    requireSignedIndex(context, active, policy);
    return undefined;
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    return `a failed update could not be rolled back to version ${active.version}: ${describeError(error)}`;
  }
}

/**
 * Ids of the keys that vouch for a version that is, or is being, committed: those that are trusted now, and those that
 * its record names already.
 */
export function signersOf(context: Context, unpacked: Unpacked): string[] {
  const before = unpacked.signers ?? [];
  const { isEnforced, keys } = trustPolicy(context);
  if (!isEnforced) return [...before];
  try {
    const index = readIndex(context, unpacked);
    const good = index === undefined ? [] : judgeSignatures(index, keys);
    const now = good.filter(({ verdict }) => verdict === 'good').map(({ keyId }) => keyId);
    return [...new Set([...before, ...now])].sort();
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    return [...before];
  }
}

/** By the record of now: the one in a journal may be older than what was written down when keys changed. */
export function signersOnRecord(
  context: Pick<AgentContext, 'installed'>,
  { app, digest }: Pick<Unpacked, 'app' | 'digest'>,
): Pick<VersionRecord, 'signers'> {
  const { active, previous } = context.installed.get(app);
  const signers = [active, previous].find((one) => one?.digest === digest)?.signers;
  return signers === undefined ? {} : { signers };
}

/**
 * Records which keys signed the installed versions. To be called before keys change: of a version that an
 * older gwe has committed nothing is recorded yet.
 */
export function keepSigners(context: AppsContext): void {
  const withSigners = (app: string, record: VersionRecord): VersionRecord => {
    const signers = signersOf(context, { app, ...record });
    return signers.length === (record.signers?.length ?? 0) ? record : { ...record, signers };
  };
  for (const [app, record] of Object.entries(context.installed.all())) {
    const active = record.active && withSigners(app, record.active);
    const previous = record.previous && withSigners(app, record.previous);
    if (active === record.active && previous === record.previous) continue;
    context.installed.set(app, {
      ...record,
      ...(active === undefined ? {} : { active }),
      ...(previous === undefined ? {} : { previous }),
    });
  }
}
