/** Which start of gwe counts as a good one: gwe's side of the launcher's bookkeeping (see `launcher.ts`). */
import { existsSync } from 'node:fs';
import {
  ensureDirectory,
  readLink,
  readTextBounded,
  removeFileDurable,
  writeFileDurable,
} from '../base/fs.ts';
import { currentLink, type Layout, startCountFile } from '../store/layout.ts';

const LARGEST_STATE_BYTES = 4096;
/** The launcher's variable for the version directory that it chose. */
export const LAUNCHED_VARIABLE = 'GWE_LAUNCHED';
/** Starts without a check-in after which the launcher takes `previous`. */
export const MOST_UNCONFIRMED_STARTS = 3;

/** What a good check-in meant for the launcher. */
type Confirmation =
  /** Not started by the launcher. */
  | 'not-launched'
  /** This version had been confirmed before: nothing was written. */
  | 'known'
  /** Written down now. */
  | 'confirmed'
  /** The launcher took `previous` because `current` never checked in: nothing was written. */
  | 'fallback';

interface Starts {
  /** The version directory that has checked in last, if any. */
  confirmed: string | undefined;
  /** Starts of `current` that count against it. */
  unconfirmed: number;
}

/**
 * To be called after a good check-in with the value of GWE_LAUNCHED. Writes only when the version has not been
 * confirmed yet: once in its life.
 */
export function confirmStart(layout: Layout, launched: string | undefined): Confirmation {
  if (launched === undefined || launched === '') return 'not-launched';
  if (readLink(currentLink(layout, 'gwe')) !== launched) return 'fallback';
  if (readConfirmed(layout) === launched) return 'known';
  ensureDirectory(layout.stateDirectory);
  writeFileDurable(layout.confirmedStart, `${launched}\n`);
  forgetStarts(layout);
  return 'confirmed';
}

/** Lets `current` have its three starts again: after it was switched, or installed once more. */
export function forgetStarts(layout: Layout): void {
  for (const file of [startCountFile(layout, false), startCountFile(layout, true)]) {
    if (existsSync(file)) removeFileDurable(file);
  }
}

/** Takes away everything that the launcher and `confirmStart` wrote. */
export function removeStartState(layout: Layout): void {
  forgetStarts(layout);
  for (const file of [layout.confirmedStart, layout.previousDigest]) {
    if (existsSync(file)) removeFileDurable(file);
  }
}

export function readStarts(layout: Layout): Starts {
  const current = readLink(currentLink(layout, 'gwe'));
  const confirmed = readConfirmed(layout);
  const text = readOrNothing(startCountFile(layout, current === confirmed)) ?? '';
  const [name, count] = text.trim().split(' ');
  const isOfCurrent = name !== undefined && name !== '' && name === current;
  return { confirmed, unconfirmed: isOfCurrent && /^\d$/.test(count ?? '') ? Number(count) : 0 };
}

function readConfirmed(layout: Layout): string | undefined {
  return readOrNothing(layout.confirmedStart)?.trim();
}

/** As the launcher takes it: a damaged file says nothing, and the next good check-in writes it again. */
function readOrNothing(path: string): string | undefined {
  try {
    return readTextBounded(path, LARGEST_STATE_BYTES);
  } catch {
    return undefined;
  }
}
