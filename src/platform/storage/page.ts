/** Lists in pages. */

/** A part of a list, in the order of its names. */
export interface Page<T> {
  /** At most as many as were asked for; fewer, or none, is not yet the end. */
  items: T[];
  /** Give it as `after` for what follows; `undefined` at the end of the list. */
  next: string | undefined;
}

export interface PageRequest {
  /** Names up to and with it are left out. */
  after?: string | undefined;
  /** From 1 to MAX_PAGE. */
  limit: number;
}

export const MAX_PAGE = 1000;

/** All items of a list, a page at a time; between two pages others get their turn. */
export async function* eachItem<T>(page: (request: PageRequest) => Promise<Page<T>>): AsyncGenerator<T> {
  for (let after: string | undefined; ; ) {
    const { items, next } = await page({ after, limit: MAX_PAGE });
    yield* items;
    if (next === undefined) return;
    after = next;
  }
}

/** The same as an array, for what is small. */
export async function allItems<T>(page: (request: PageRequest) => Promise<Page<T>>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of eachItem(page)) all.push(item);
  return all;
}

/** The page made of the `limit` + 1 items that were asked for. */
export function toPage<T>(found: readonly T[], limit: number, nameOf: (item: T) => string): Page<T> {
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return { items, next: found.length > limit && last !== undefined ? nameOf(last) : undefined };
}
