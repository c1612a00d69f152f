/** Times, bytes and shares as a person reads them. */
import type { FleetEvent } from './replies.ts';
import { words } from './words.ts';

const STEPS: readonly (readonly [seconds: number, unit: string])[] = [
  [7 * 86_400, 'w'],
  [86_400, 'd'],
  [3600, 'h'],
  [60, 'min'],
];

/** `3 h ago`, `in 2 d`; both are Unix seconds. */
export function relativeTime(atS: number, nowS: number): string {
  const seconds = Math.abs(nowS - atS);
  const step = STEPS.find(([length]) => seconds >= length);
  if (step === undefined) return words.ago.now;
  const said = `${Math.floor(seconds / step[0])} ${step[1]}`;
  return atS > nowS ? words.ago.in(said) : words.ago.before(said);
}

export function exactTime(atS: number): string {
  return new Date(atS * 1000).toLocaleString('en', { dateStyle: 'medium', timeStyle: 'long' });
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

export function bytes(count: number): string {
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, count)) / 3)));
  const value = count / 1000 ** power;
  return `${value.toFixed(power === 0 || value >= 100 ? 0 : 1)} ${UNITS[power]}`;
}

/** `90 s`, `4 h`: a length of time. */
export function duration(seconds: number): string {
  const step = STEPS.find(([length]) => seconds >= length && seconds % length === 0);
  return step === undefined ? `${Math.round(seconds)} s` : `${seconds / step[0]} ${step[1]}`;
}

/** What a gateway says about itself may be long, or contain signs that reverse the direction of writing. */
export function plain(text: string): string {
  const cut = text.length > LONGEST ? `${text.slice(0, LONGEST)}\u2026` : text;
  return cut.replace(/[\p{Cc}\p{Cf}]/gu, '\u{fffd}');
}

const LONGEST = 500;
const LONGEST_LOG = 1_000_000;

/** The same for many lines, such as a log: only line ends are kept. */
export function plainLines(text: string): string {
  return text
    .slice(-LONGEST_LOG)
    .replace(/\r\n?/g, '\n')
    .replace(/[^\P{Cc}\n\t]|\p{Cf}/gu, '\u{fffd}');
}

/** An event in one line. */
export function describeEvent({ kind, app, version, outcome, code, text }: FleetEvent): string {
  const what = [kind, app, version].filter((part) => part !== '').join(' ');
  const end = [outcome, code].filter((part) => part !== '').join(': ');
  return plain([what, end, text].filter((part) => part !== '').join(' - '));
}
