/** The figures that a change must not make worse. */
import { judged, type Row } from './row.ts';

/** Below this a difference says nothing, however quiet the machine was: counted things vary less than times. */
const LEAST_NOISE: Readonly<Record<string, number>> = { s: 0.15, ms: 0.15, MiB: 0.1 };
const LEAST_NOISE_COUNTED = 0.05;

/** One line for each row that is worse than the committed one by more than the noise of both. */
export function compareWithCommitted(
  rows: readonly Row[],
  committed: { rows: readonly Row[] },
): { key: string; line: string }[] {
  return rows.filter(isComparable).flatMap((row) => {
    const before = committed.rows.find(({ key }) => key === row.key);
    if (before === undefined) return [];
    const [was, is] = [judged(before), judged(row)];
    const least = LEAST_NOISE[row.unit] ?? LEAST_NOISE_COUNTED;
    const allowed = was.median * (1 + Math.max(least, was.noise + is.noise));
    if (is.median <= allowed) return [];
    const facts = `${is.median.toFixed(3)}, expected at most ${allowed.toFixed(3)} (${was.median.toFixed(3)} before)`;
    return [{ key: row.key, line: `${row.key}: ${facts}` }];
  });
}

/** A time with nothing beside it says more about the machine than about gwe. */
function isComparable({ peer, unit, isOnlyShown }: Row): boolean {
  return isOnlyShown !== true && (peer !== undefined || (unit !== 's' && unit !== 'ms'));
}

/** The rows of before, those of `rows` in their places, and what is new at the end. */
export function mergeRows(before: readonly Row[], rows: readonly Row[]): Row[] {
  const kept = before.map((row) => rows.find(({ key }) => key === row.key) ?? row);
  const isNew = ({ key }: Row): boolean => before.every((row) => row.key !== key);
  return [...kept, ...rows.filter(isNew)];
}
