/** Lists in pages. */

/** A part of a list, in the order of its names. */
export interface Page<T> {
  /** At most as many as were asked for; a page with fewer, or with none, need not be the last. */
  items: T[];
  /** To be given as `after` for the next page; `undefined` at the end of the list. */
  next: string | undefined;
}

export interface PageRequest {
  /** Only names after this one are listed. */
  after?: string | undefined;
  /** From 1 to MAX_PAGE. */
  limit: number;
}

export const MAX_PAGE = 1000;

/** All items of a list, read a page at a time; between two pages other work gets its turn. */
export async function* eachItem<T>(page: (request: PageRequest) => Promise<Page<T>>): AsyncGenerator<T> {
  for (let after: string | undefined; ; ) {
    const { items, next } = await page({ after, limit: MAX_PAGE });
    yield* items;
    if (next === undefined) return;
    after = next;
  }
}

/** The same as an array, for short lists. */
export async function allItems<T>(page: (request: PageRequest) => Promise<Page<T>>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of eachItem(page)) all.push(item);
  return all;
}

/** A page made from `limit` + 1 items. */
export function toPage<T>(found: readonly T[], limit: number, nameOf: (item: T) => string): Page<T> {
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return { items, next: found.length > limit && last !== undefined ? nameOf(last) : undefined };
}
