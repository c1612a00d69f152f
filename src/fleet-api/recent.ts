/**
 * An answer that takes a walk through all gateways of a product is shared by everybody who asks at about the same
 * time.
 */
import type { Clock } from '../base/clock.ts';

export interface Walk {
  /** The body of the answer. */
  readonly body: unknown;
  /** How many gateways the walk has visited. */
  readonly gateways: number;
}

export interface Recent {
  /** The answer of this name, made now or a moment ago. */
  of(name: string, walk: () => Promise<Walk>): Promise<unknown>;
}

/** With fewer gateways, each request makes its own walk: a fresh answer is worth more than the walk costs. */
const FEWEST = 2000;
/**
 * An answer about 100,000 gateways is reused for ten seconds, so that making such answers takes about a tenth of the
 * processor.
 */
const MS_PER_GATEWAY = 0.1;
const MOST_NAMES = 1000;

interface Kept {
  readonly walk: Promise<Walk>;
  /** Unknown until the walk has counted the gateways. */
  until: number | undefined;
}

export function createRecent(clock: Pick<Clock, 'wallMs'>): Recent {
  const kept = new Map<string, Kept>();
  const large = new Set<string>();
  return {
    async of(name, walk) {
      const found = kept.get(name);
      const now = clock.wallMs();
      if (found !== undefined && (found.until === undefined || now < found.until))
        return (await found.walk).body;
      const own: Kept = { walk: walk(), until: undefined };
      // While the product is small, or its size is not known yet, every request gets an answer of its own.
      if (large.has(name)) kept.set(name, own);
      try {
        const { body, gateways } = await own.walk;
        const isLarge = gateways >= FEWEST;
        own.until = isLarge ? clock.wallMs() + gateways * MS_PER_GATEWAY : 0;
        if (kept.size >= MOST_NAMES) kept.clear();
        if (isLarge) kept.set(name, own);
        else kept.delete(name);
        if (isLarge) large.add(name);
        else large.delete(name);
        return body;
      } catch (error) {
        kept.delete(name);
        throw error;
      }
    },
  };
}
