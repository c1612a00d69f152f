import { GweError } from '../../base/errors.ts';

/** A patch is not what a patch may be. What happens next is the caller's: it fetches chunks instead. */
export function patchFault(found: string, expected: string): GweError {
  return new GweError('ARTIFACT_PATCH', `cannot read patch: ${found}, expected ${expected}`);
}
