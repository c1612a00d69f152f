/** Keeps a report within the platform's limit: cut between characters, marked, and still JSON. */
import { MARK } from '../../base/text.ts';

/** As many whole lines as fit into `limitBytes` with a last line that counts the others. */
export function cutLines(text: string, limitBytes: number): string {
  if (Buffer.byteLength(text) <= limitBytes) return text;
  const lines = text.split('\n');
  const kept: string[] = [];
  let leftBytes = limitBytes - Buffer.byteLength(`[${MARK} ${lines.length} lines left out]`);
  for (const line of lines) {
    leftBytes -= Buffer.byteLength(line) + 1;
    if (leftBytes < 0) break;
    kept.push(line);
  }
  return [...kept, `[${MARK} ${lines.length - kept.length} lines left out]`].join('\n');
}

export function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}

/**
 * `documented` as it is (its parts must be bounded), then those of `own` that fit in `limitBytes`, in their order; the
 * names of the others under `left_out`. Undefined values are not there.
 */
export function fitFields(
  documented: Readonly<Record<string, unknown>>,
  own: readonly (readonly [key: string, value: unknown])[],
  limitBytes: number,
): Record<string, unknown> {
  const fields: Record<string, unknown> = { ...documented };
  const present = own.filter(([, value]) => value !== undefined);
  const names = present.map(([key]) => key);
  const all = { ...fields, ...Object.fromEntries(present) };
  if (jsonBytes(all) <= limitBytes) return all;
  const leftOut: string[] = [];
  let leftBytes = limitBytes - jsonBytes({ ...fields, left_out: names });
  for (const [key, value] of present) {
    const bytes = jsonBytes({ [key]: value });
    if (bytes <= leftBytes) {
      fields[key] = value;
      leftBytes -= bytes;
    } else leftOut.push(key);
  }
  return { ...fields, left_out: leftOut };
}
