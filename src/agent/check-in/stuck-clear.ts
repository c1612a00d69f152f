/**
 * A text that was cleared and is still shown: a cache answered for the platform, or the platform ignores the clear. It
 * is cleared again, less and less often, for a later text that is the same could not be told from it.
 */
import { type CommandState, digestText } from '../../store/command.ts';
import type { CheckInParts } from './parts.ts';

const DAY_MS = 24 * 3600 * 1000;
/** 2 to the power of it intervals is longer than a day anyway. */
const MOST_DOUBLINGS = 30;

/** Whether `text` is the command that was carried out, or refused, and still shown, and is to be cleared now. */
export function isCommandClearDue(parts: CheckInParts, state: CommandState, text: string): boolean {
  const { isClearDue, stuckDigest } = state;
  if (text === '' || stuckDigest !== digestText(text)) return false;
  return isClearDue === true || isTryDue(parts, state);
}

/** The same of `update_interval`. */
export function isIntervalClearDue(parts: CheckInParts, state: CommandState, text: string): boolean {
  return text !== '' && state.stuckInterval === digestText(text) && isTryDue(parts, state);
}

/** The next try waits twice as long as the last one, from two intervals to a day. */
export function isTryDue(
  { context }: Pick<CheckInParts, 'context'>,
  { clearTries = 0, clearTriedMs }: CommandState,
): boolean {
  const sinceMs = context.clock.wallMs() - (clearTriedMs ?? 0);
  const intervalMs = context.settings().updateIntervalS * 1000;
  const pauseMs = Math.min(intervalMs * 2 ** Math.min(clearTries, MOST_DOUBLINGS), DAY_MS);
  // A time in the future says nothing about how long to wait.
  return clearTriedMs === undefined || sinceMs < 0 || sinceMs >= Math.max(pauseMs, intervalMs);
}

/** What to remember about a try that did not help. */
export function afterTry(
  { context }: Pick<CheckInParts, 'context'>,
  { clearTries = 0 }: CommandState,
): Pick<CommandState, 'clearTries' | 'clearTriedMs'> {
  return { clearTries: clearTries + 1, clearTriedMs: context.clock.wallMs() };
}
