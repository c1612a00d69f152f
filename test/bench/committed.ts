/** The figures that a change must not make worse. */
import { judged, type Row } from './row.ts';

/** Below this a difference says nothing, however quiet the machine was. */
const LEAST_NOISE = 0.05;

/** One line for each row that is worse than the committed one by more than the noise of both. */
export function compareWithCommitted(rows: readonly Row[], committed: { rows: readonly Row[] }): string[] {
  return rows.flatMap((row) => {
    const before = committed.rows.find(({ key }) => key === row.key);
    if (before === undefined) return [];
    const [was, is] = [judged(before), judged(row)];
    const allowed = was.median * (1 + Math.max(LEAST_NOISE, was.noise + is.noise));
    if (is.median <= allowed) return [];
    return [
      `${row.key}: ${is.median.toFixed(3)}, expected at most ${allowed.toFixed(3)} (${was.median.toFixed(3)} before)`,
    ];
  });
}
