/** Makes the request for a rollout from what a person typed. */
import { words } from './words.ts';

export interface Typed {
  readonly artifacts: string;
  readonly filter: string;
  readonly group: string;
  readonly waves: string;
  readonly limit: string;
  readonly soak: string;
  readonly name: string;
}

export type Spec = Readonly<Record<string, unknown>>;

/** Throws a sentence about what cannot be read. */
export function specOf({ artifacts, filter, group, waves, limit, soak, name }: Typed): Spec {
  return {
    artifacts: artifacts.split(/[\s,]+/).filter((id) => id !== ''),
    ...(filter.trim() === '' ? {} : { filter: filter.trim() }),
    ...(group === '' ? {} : { group }),
    ...(name.trim() === '' ? {} : { name: name.trim() }),
    waves: waves
      .split(',')
      .map((one) => one.trim())
      .filter((one) => one !== '')
      .map(waveOf),
    limit: numberOf(limit, words.plan.limit) / 100,
    soakS: Math.round(numberOf(soak, words.plan.soak) * 3600),
  };
}

function waveOf(text: string): { count: number } | { share: number } {
  const [, count, sign] = /^(\d{1,7}(?:\.\d{1,3})?)\s*(%?)$/.exec(text) ?? [];
  if (count === undefined) throw new Error(words.plan.badWaves(text));
  return sign === '%' ? { share: Number(count) / 100 } : { count: Number(count) };
}

function numberOf(text: string, what: string): number {
  const trimmed = text.trim();
  if (/^\d{1,6}(\.\d{1,3})?$/.test(trimmed)) return Number(trimmed);
  throw new Error(words.plan.badNumber(what, trimmed));
}
