/** Lines of Engine.config that were meant for a setting that protects, and set nothing or contradict each other. */
import type { IniDocument } from '../base/ini.ts';
import { ENGINE_SETTINGS } from './schema.ts';
import type { SettingSpec } from './setting.ts';

const SPECS: readonly SettingSpec[] = Object.values<SettingSpec>(ENGINE_SETTINGS);

/** `:LINE: what was found, expected what`, one for each. */
export function findMisplaced(text: string, document: IniDocument, section: string): string[] {
  const taken = new Map<number, string>();
  const faults: string[] = [];
  const values = new Map<string, string>();
  for (const { entries } of document.sections.filter(({ name }) => name === section)) {
    for (const { key, value, line } of entries) {
      taken.set(line, key);
      const isTwofold = values.has(key) && values.get(key) !== value;
      if (isTwofold && meantBy(key)?.key === key)
        faults.push(`:${line}: '${key}' for the second time with another value, expected a single line`);
      values.set(key, value);
    }
  }
  for (const [index, line] of text.split(/\r\n|\n|\r/).entries()) {
    const meant = /^\s*[#;]/.test(line) ? undefined : meantBy(/^[^:=;#]*/.exec(line)?.[0] ?? '');
    if (meant === undefined || taken.get(index + 1) === meant.key) continue;
    const found = line.trim().slice(0, 60);
    faults.push(`:${index + 1}: '${found}' sets nothing, expected '${meant.key} = ...' in [${section}]`);
  }
  return faults;
}

/**
 * The setting that protects and is called so, or nearly: `require-signatures`, `RequireSignature`,
 * `require_signatures 2`.
 */
function meantBy(words: string): SettingSpec | undefined {
  const given = lettersOf(words);
  if (SPECS.some(({ key, protects }) => protects !== true && lettersOf(key) === given)) return undefined;
  return SPECS.find(({ key, protects }) => protects === true && isNear(given, lettersOf(key)));
}

function lettersOf(words: string): string {
  return words.toLowerCase().replace(/[^a-z]/g, '');
}

/** At most one letter put in, left out or replaced, or two neighbours swapped. */
function isNear(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 1) return false;
  const [short, long] = a.length <= b.length ? [a, b] : [b, a];
  let at = 0;
  while (at < short.length && short[at] === long[at]) at += 1;
  const [left, right] = [short.slice(at), long.slice(at)];
  if (left.length < right.length) return left === right.slice(1);
  if (left.slice(1) === right.slice(1)) return true;
  return left[0] === right[1] && left[1] === right[0] && left.slice(2) === right.slice(2);
}
