/** What becomes of a version on each gateway of a simulated fleet. */
import { createHash } from 'node:crypto';

export type Fate = 'good' | 'fails' | 'silent';

/** How many turns an interval has: in each, its share of the gateways check in. */
export const TURNS = 8;
export const INTERVAL_S = 14_400;
/** Gateways of one site have numbers that follow one another. */
const SITE = 50;
/** One gateway in so many still has the version before the last. */
const OLD_EACH = 7;

interface Scenario {
  what: string;
  fate(at: number): Fate;
}

/** A number from 0 to 1 that follows from the words: the same in each run. */
function chance(...words: readonly (string | number)[]): number {
  return createHash('sha256').update(words.join('\n')).digest().readUInt32BE() / 2 ** 32;
}

function failing(share: number): Scenario {
  return {
    what: `${100 * share} % fail`,
    fate: (at) => (chance('fails', share, at) < share ? 'fails' : 'good'),
  };
}

export const SCENARIOS: readonly Scenario[] = [
  failing(0.005),
  failing(0.03),
  failing(0.15),
  failing(0.9),
  { what: '15 % fall silent', fate: (at) => (chance('silent', at) < 0.15 ? 'silent' : 'good') },
  {
    what: '15 % of the sites fail, all gateways there',
    fate: (at) => (chance('site', Math.floor(at / SITE)) < 0.15 ? 'fails' : 'good'),
  },
  {
    what: 'all fail that have the version before the last, 1 in 7',
    fate: (at) => (versionOf(at) === '0' ? 'fails' : 'good'),
  },
];

/** The version that a gateway has before. */
export function versionOf(at: number): string {
  return chance('version', at) < 1 / OLD_EACH ? '0' : '1';
}
