/** Secrets of second factors, which are stored sealed. */
import { isSealed, type Sealer } from '../../fleet/people/seal.ts';
import { findTotpStep } from '../../fleet/people/totp.ts';
import { Refusal } from '../../platform/http/exchange.ts';

const aboutOf = (name: string): string => `totp\n${name}`;

/** Refuses with 409 where there is no key to seal the secret with. */
export function sealSecret(sealer: Sealer | undefined, secret: string, name: string): string {
  if (sealer === undefined)
    throw new Refusal(
      409,
      "cannot keep a second factor: the platform has no file 'seal-key' beside its token",
    );
  return sealer.seal(secret, aboutOf(name));
}

/**
 * A secret that was stored before there were keys is in plain text. Refuses with 409 a secret that cannot be opened.
 */
function openSecret(sealer: Sealer | undefined, kept: string, name: string): string {
  if (!isSealed(kept)) return kept;
  const opened = sealer?.open(kept, aboutOf(name)) ?? { fault: 'this platform has no key' };
  if ('text' in opened) return opened.text;
  throw new Refusal(
    409,
    `cannot check the second factor of '${name}': ${opened.fault}; expected the file 'seal-key' that lay beside the ` +
      `token when it was made, or 'gwe platform operator reset ${name}'`,
  );
}

interface Checked {
  /** The time step of the code that was accepted. */
  readonly step: number;
  /** The secret as it is to be stored from now on. */
  readonly kept: string;
}

/** `undefined` for a wrong code. */
export function checkSecret(
  sealer: Sealer | undefined,
  { name, kept }: { readonly name: string; readonly kept: string },
  code: string,
  { at, lastStep }: { readonly at: number; readonly lastStep: number },
): Checked | undefined {
  const secret = openSecret(sealer, kept, name);
  const step = findTotpStep(secret, code, at, lastStep);
  if (step === undefined) return undefined;
  const isOld = !isSealed(kept) && sealer !== undefined;
  return { step, kept: isOld ? sealSecret(sealer, secret, name) : kept };
}
