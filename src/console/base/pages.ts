/** A long list that is read a page at a time, and is kept fresh where somebody looks. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { useConsole } from './context.ts';

export interface PageOf<T> {
  readonly items: readonly T[];
  /** Where the next page begins; `undefined` after the last. */
  readonly next: string | undefined;
}

type Load<T> = (after: string | undefined) => Promise<PageOf<T>>;

interface Read<T> {
  readonly key: string;
  readonly pages: readonly (PageOf<T> & { readonly after: string | undefined })[];
  readonly problem: string | undefined;
}

interface Paged<T> {
  readonly items: readonly T[];
  /** The first page has been read. */
  readonly isRead: boolean;
  readonly isComplete: boolean;
  readonly problem: string | undefined;
  /**
   * Takes the index of the item that is in view: the page after it is read, and its own page is read again with each
   * beat.
   */
  look(at: number): void;
}

/** How many items are read ahead of the one in view. */
const AHEAD = 100;

/** `idOf` is the id by which the pages are sorted. */
export function usePages<T>(key: string, load: Load<T>, idOf: (item: T) => string): Paged<T> {
  const { beat } = useConsole();
  const [read, setRead] = useState<Read<T>>({ key, pages: [], problem: undefined });
  const [seen, look] = useState(0);
  const reading = useRef('');
  const wanted = useRef(key);
  wanted.current = key;
  const own = read.key === key ? read : { key, pages: [], problem: undefined };
  const items = own.pages.flatMap((page) => page.items);
  const last = own.pages.at(-1);
  const isComplete = last !== undefined && last.next === undefined;
  const take = (at: number, after: string | undefined): void => {
    const name = `${key} ${at} ${beat}`;
    if (reading.current === name) return;
    reading.current = name;
    load(after).then(
      (page) =>
        wanted.current === key &&
        setRead((before) => replace(before, { key, at, page: { ...page, after } }, idOf)),
      (error: unknown) =>
        wanted.current === key &&
        setRead((before) => ({
          key,
          pages: before.key === key ? before.pages : [],
          problem: error instanceof Error ? error.message : String(error),
        })),
    );
  };
  useEffect(() => {
    if (!isComplete && seen + AHEAD >= items.length) take(own.pages.length, last?.next);
  }, [key, seen, items.length, isComplete]);
  useEffect(() => {
    const found = own.pages.findIndex((_, index) => seen < endOf(own.pages, index));
    const at = found === -1 ? own.pages.length - 1 : found;
    const page = own.pages[at];
    if (page === undefined) take(0, undefined);
    else take(at, page.after);
  }, [beat]);
  return { items, isRead: own.pages.length > 0, isComplete, problem: own.problem, look };
}

function endOf<T>(pages: readonly PageOf<T>[], index: number): number {
  return pages.slice(0, index + 1).reduce((sum, page) => sum + page.items.length, 0);
}

/** A page that is read again ends at the same id as before: new items behind it are on the next page. */
function replace<T>(
  before: Read<T>,
  { key, at, page }: { key: string; at: number; page: Read<T>['pages'][number] },
  idOf: (item: T) => string,
): Read<T> {
  const pages = before.key === key ? [...before.pages] : [];
  const old = pages[at];
  if (at > pages.length) return before;
  const end = old?.next;
  pages[at] =
    end === undefined ? page : { ...page, items: page.items.filter((item) => idOf(item) <= end), next: end };
  return { key, pages, problem: undefined };
}
