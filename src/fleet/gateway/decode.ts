/** Parts of a report: whatever comes, each is a bounded value or is not known. */

type Fields = Readonly<Record<string, unknown>>;

/** Most bytes of a report that are looked at; the agent writes 60 KiB at most. */
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

/** One line without control characters, cut to `most` characters; `undefined` for an empty one. */
export function textOf(value: unknown, most: number): string | undefined {
  if (typeof value !== 'string') return undefined;
  // Cut before it is cleaned: what is cleaned is bounded too.
  const text = value
    .slice(0, most)
    .replace(/[\p{Cc}\u2028\u2029\p{Surrogate}]/gu, ' ')
    .trim();
  return text === '' ? undefined : text;
}

/** A text of this form alone. */
export function matchOf(value: unknown, pattern: RegExp): string | undefined {
  return typeof value === 'string' && pattern.test(value) ? value : undefined;
}

/** A whole number from 0 to the greatest that a double holds exactly. */
export function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** Seconds with a fraction, or any number that is no count. */
export function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER ? value : undefined;
}
