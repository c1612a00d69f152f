/** JSON with one way to write each value: what is signed must not depend on the writer. */
import { isUtf8 } from 'node:buffer';
import { formatFault, quote } from '../faults.ts';

/** Deeper than anything gwe writes, and far from the end of the stack. */
const DEEPEST = 16;

/**
 * The canonical text of `value`: UTF-8, object keys sorted by UTF-16 code units, no white space, whole numbers only
 * (RFC 8785 for the values that occur). Throws ARTIFACT_FORMAT for what has no such text.
 */
export function renderCanonical(value: unknown, depth = 0): string {
  if (depth > DEEPEST) throw formatFault(`JSON more than ${DEEPEST} levels deep`, 'fewer');
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number' && Number.isSafeInteger(value)) return String(value);
  if (Array.isArray(value)) return `[${value.map((item) => renderCanonical(item, depth + 1)).join(',')}]`;
  if (typeof value !== 'object')
    throw formatFault(`${typeof value} ${String(value)} in JSON`, 'a whole number');
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, field]) => `${JSON.stringify(key)}:${renderCanonical(field, depth + 1)}`);
  return `{${fields.join(',')}}`;
}

/**
 * What `bytes` say, if they are canonical JSON: no key twice, nothing that two readers could read differently.
 * Throws ARTIFACT_FORMAT; `shown` names the file in it.
 */
export function decodeCanonical(bytes: Buffer, shown: string): unknown {
  assertUtf8(bytes, shown);
  return parseCanonical(bytes.toString('utf8'), shown);
}

/** Decoding as text would hide it. */
export function assertUtf8(bytes: Buffer, shown: string): void {
  if (!isUtf8(bytes)) throw formatFault(`${quote(shown)} that is not UTF-8`, 'canonical JSON');
}

/** As `decodeCanonical`, of text that has been decoded. */
export function parseCanonical(text: string, shown: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw formatFault(`${quote(shown)} that is no JSON`, 'canonical JSON', error);
  }
  if (renderCanonical(value) === text) return value;
  const expected = 'sorted keys, each once, and no white space';
  throw formatFault(`${quote(shown)} that is not canonical JSON`, expected);
}
