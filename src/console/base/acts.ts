/**
 * What can be done with many gateways at once, and how the platform is asked to do it: some hundred gateways in one
 * call.
 */
import { actWords as says } from './admin-words.ts';
import type { Api } from './api.ts';
import { duration } from './format.ts';
import { ACTED } from './replies.ts';

export const ACTS = ['tag', 'install', 'interval', 'hold', 'release'] as const;
export type Act = (typeof ACTS)[number];

export interface Wanted {
  /** The question before the act: what will be done to this many gateways. */
  ask(count: number): string;
  readonly call: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export function wantedOf(act: Act, of: (name: string) => string): Wanted {
  switch (act) {
    case 'tag': {
      const [name, value] = [of('tag'), of('value')];
      const tags = { [name]: value === '' ? null : value };
      return { ask: (count) => says.asks.tag(count, name, value), call: 'tags', body: { tags } };
    }
    case 'install': {
      const id = of('artifact');
      return { ask: (count) => says.asks.install(count, id), call: 'install', body: { artifacts: [id] } };
    }
    case 'interval': {
      const seconds = Number(of('seconds'));
      const ask = (count: number): string => says.asks.interval(count, duration(seconds));
      return { ask, call: 'interval', body: { seconds } };
    }
    case 'hold': {
      const reason = of('reason');
      return { ask: (count) => says.asks.hold(count, reason), call: 'hold', body: { reason } };
    }
    case 'release':
      return { ask: says.asks.release, call: 'hold', body: { reason: null } };
  }
}

/** The most gateways that the platform takes in one call. */
const TOGETHER = 500;

export interface Acted {
  readonly done: number;
  readonly leftOut: readonly { readonly serial: string; readonly reason: string }[];
}

/** Throws where a call is refused, with the number of gateways done before it. */
export async function actOn(
  api: Api,
  product: string,
  { serials, wanted: { call, body } }: { serials: readonly string[]; wanted: Wanted },
  moved: (done: number) => void,
): Promise<Acted> {
  let acted: Acted = { done: 0, leftOut: [] };
  for (let at = 0; at < serials.length; at += TOGETHER) {
    const more = call === 'install' ? { of: serials.length } : {};
    const part = { ...body, ...more, serials: serials.slice(at, at + TOGETHER) };
    const path = `/products/${encodeURIComponent(product)}/devices/${call}`;
    try {
      const { done, leftOut } = await api.change({ method: 'POST', path, body: part, decoder: ACTED });
      acted = { done: acted.done + done, leftOut: [...acted.leftOut, ...leftOut] };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw at === 0 ? error : new Error(says.notWhole(at, serials.length, why));
    }
    moved(Math.min(at + TOGETHER, serials.length));
  }
  return acted;
}
