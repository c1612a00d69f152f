/** What takes a walk through all gateways of a product is not done anew for everybody who looks at the same moment. */
import type { Clock } from '../base/clock.ts';

export interface Walk {
  /** Of the answer. */
  readonly body: unknown;
  /** How many it has walked through. */
  readonly gateways: number;
}

export interface Recent {
  /** The answer of this name, made now or a moment ago. */
  of(name: string, walk: () => Promise<Walk>): Promise<unknown>;
}

/** Below it each walk is done: it costs less than what it tells is worth. */
const FEWEST = 2000;
/** An answer about 100,000 is good for ten seconds, which is about a tenth of the processor. */
const MS_PER_GATEWAY = 0.1;
const MOST_NAMES = 1000;

interface Kept {
  readonly walk: Promise<Walk>;
  /** `undefined` until it is known how many there are. */
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
      // Of a fleet that was small, or is not known yet, everybody sees his own moment.
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
