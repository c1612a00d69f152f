/** What stands to the right of an operator, and how it compares. */
import type { FieldUse } from './fields.ts';
import { compareVersionOrder } from './version-order.ts';

export const OPERATORS = ['=', '!=', '<', '<=', '>', '>='] as const;
export type Operator = (typeof OPERATORS)[number];

type FieldKind = FieldUse['kind'];

const UNITS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  age: { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 },
  bytes: { '': 1, k: 1e3, M: 1e6, G: 1e9, Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 },
  count: { '': 1 },
};

const EXPECTED: Readonly<Record<FieldKind, string>> = {
  text: 'a text',
  version: 'a version',
  age: 'a time such as 90s, 15m, 4h, 2d or 1w',
  bytes: 'bytes such as 500k, 20M, 1G or 64Mi',
  count: 'a whole number',
  flag: 'no value',
};

export function expectedValue(kind: FieldKind): string {
  return EXPECTED[kind];
}

/** The value that this word has for a field of this kind; `undefined` if the word does not fit the kind. */
export function readValue(kind: FieldKind, text: string): string | number | undefined {
  const units = UNITS[kind];
  if (units === undefined) return kind === 'flag' ? undefined : text;
  const [, digits = '', unit = ''] = /^(\d{1,15})([A-Za-z]*)$/.exec(text) ?? [];
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
  return digits === '' || factor === undefined ? undefined : Number(digits) * factor;
}

export function isOperatorOf(kind: FieldKind, operator: Operator): boolean {
  return kind === 'text' ? operator === '=' || operator === '!=' : kind !== 'flag';
}

/**
 * Whether what was found stands in this relation to what was wanted. Nothing compares to an unknown value, so only
 * `!=` holds for one. `*` in a wanted text or version stands for any characters.
 */
export function holds(
  found: string | number | boolean | undefined,
  operator: Operator,
  wanted: string | number,
): boolean {
  if (operator === '!=') return !holds(found, '=', wanted);
  if (found === undefined || typeof found === 'boolean') return false;
  if (operator === '=') return typeof found === 'string' ? matches(found, String(wanted)) : found === wanted;
  const order =
    typeof found === 'number' ? compareNumbers(found, wanted) : compareVersionOrder(found, String(wanted));
  if (operator === '<') return order < 0;
  if (operator === '<=') return order <= 0;
  return operator === '>' ? order > 0 : order >= 0;
}

function compareNumbers(found: number, wanted: string | number): number {
  const limit = Number(wanted);
  return found === limit ? 0 : found < limit ? -1 : 1;
}

/**
 * Needs no backtracking: the first place of each piece is as good as any later one, and the last piece is at the end.
 */
function matches(text: string, pattern: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const piece of rest) {
    const found = text.indexOf(piece, at);
    if (found === -1) return false;
    at = found + piece.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}
