/** Parts of a report: whatever a gateway sends, each becomes a bounded value or is unknown. */

type Fields = Readonly<Record<string, unknown>>;

/** The longest part of a report that is looked at; the agent writes at most 60 KiB. */
const MAX_REPORT_CHARS = 256 * 1024;

/** The JSON object or list in a text; `undefined` for anything else. */
export function parseJson(text: string): Fields | readonly unknown[] | undefined {
  if (text.length > MAX_REPORT_CHARS) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : fieldsOf(value);
  } catch {
    return undefined;
  }
}

export function fieldsOf(value: unknown): Fields | undefined {
  return isFields(value) ? value : undefined;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function listOf(value: unknown, most: number): readonly unknown[] {
  return Array.isArray(value) ? value.slice(0, most) : [];
}

/** One line without control characters, cut to `most` characters; `undefined` if nothing is left. */
export function textOf(value: unknown, most: number): string | undefined {
  if (typeof value !== 'string') return undefined;
  // Cut before it is cleaned, so that the text to be cleaned is bounded too.
  const text = value
    .slice(0, most)
    .replace(/[\p{Cc}\u2028\u2029\p{Surrogate}]/gu, ' ')
    .trim();
  return text === '' ? undefined : text;
}

/** The text, if it matches this pattern. */
export function matchOf(value: unknown, pattern: RegExp): string | undefined {
  return typeof value === 'string' && pattern.test(value) ? value : undefined;
}

/** A whole number from 0 to the greatest that a double holds exactly. */
export function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** A number from 0 on that may have a fraction, such as seconds. */
export function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER ? value : undefined;
}
