/** What bodies to a webhook are signed with: stored sealed, since whoever has it can make notices of their own. */
import { GweError } from '../../base/errors.ts';
import { isSealed, type Sealer } from '../../fleet/people/seal.ts';
import { Refusal } from '../../platform/http/exchange.ts';
import type { RecordStorage } from '../../platform/storage/record-storage.ts';
import { decodeTarget, TARGET_KIND, type Target } from './notice.ts';

const aboutOf = ({ id }: Pick<Target, 'id'>): string => `target\n${id}`;

/** The target as it is stored. Refuses with 409 where there is no key to seal the secret with. */
export function sealTarget(sealer: Sealer | undefined, target: Target): Target {
  if (target.secret === '') return target;
  if (sealer === undefined)
    throw new Refusal(
      409,
      "cannot keep the secret of a webhook: the platform has no file 'seal-key' beside its token",
    );
  return { ...target, secret: sealer.seal(target.secret, aboutOf(target)) };
}

/** The secret itself. Throws CONFIG_INVALID for one that cannot be opened. */
export function openTargetSecret(sealer: Sealer | undefined, target: Target): string {
  if (!isSealed(target.secret)) return target.secret;
  const opened = sealer?.open(target.secret, aboutOf(target)) ?? { fault: 'this platform has no key' };
  if ('text' in opened) return opened.text;
  throw new GweError(
    'CONFIG_INVALID',
    `cannot sign: ${opened.fault}; expected the seal key that the platform had when the webhook was added, or remove ` +
      'it and add it again',
  );
}

/** Seals secrets that were stored in the clear, before webhooks had sealed ones; those of mail sign nothing, and go. */
export async function sealOldTargets(
  storage: Pick<RecordStorage, 'changeRecord'>,
  sealer: Sealer | undefined,
  targets: readonly Target[],
): Promise<void> {
  if (sealer === undefined) return;
  for (const { id } of targets.filter(isInTheClear))
    await storage.changeRecord({ kind: TARGET_KIND, key: id }, (found) => {
      const now = found === undefined ? undefined : decodeTarget(found);
      if (now === undefined || !isInTheClear(now)) return { result: undefined };
      const kept = now.url.startsWith('mailto:') ? { ...now, secret: '' } : sealTarget(sealer, now);
      return { result: undefined, put: { body: JSON.stringify(kept) } };
    });
}

function isInTheClear({ secret }: Target): boolean {
  return secret !== '' && !isSealed(secret);
}
