/** What a failed request says about the next one. */
import { GweError } from '../../base/errors.ts';

const ANSWERS: ReadonlySet<string> = new Set([
  'PROTOCOL_REFUSED',
  'PROTOCOL_BUSY',
  'PROTOCOL_GARBAGE',
  'PROTOCOL_UNAUTHORIZED',
]);

/**
 * Whether the size or the text of the request may be why it failed, so that another one may pass: something answered, or
 * swallowed it once the connection was there.
 */
export function mayBeItsBody(error: unknown): error is GweError {
  if (!(error instanceof GweError)) return false;
  if (error.code !== 'PROTOCOL_OFFLINE') return ANSWERS.has(error.code);
  return error.facts.stage === 'waiting' || error.facts.stage === 'receiving';
}

/** The status, or the code where none came: fit for a report that must not hold what was refused. */
export function shortReason({ code, facts }: GweError): string {
  return String(facts.status ?? code);
}
