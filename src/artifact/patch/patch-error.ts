/** How an invalid patch is refused. */
import { GweError } from '../../base/errors.ts';

/** A patch is invalid. What happens next is up to the caller: it fetches chunks instead. */
export function patchFault(found: string, expected: string): GweError {
  return new GweError('ARTIFACT_PATCH', `cannot read patch: ${found}, expected ${expected}`);
}
