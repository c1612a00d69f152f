/**
 * Where one is in the console: `#/PRODUCT/PAGE/ITEM?filter=...`. Every state has an address, so that links and Back
 * work.
 */
import { useEffect, useState } from 'preact/hooks';

/** Stands in place of the id of a rollout. No id is this short. */
export const NEW = 'new';

export interface Route {
  /** Empty until a product is chosen. */
  readonly product: string;
  readonly page: string;
  /** A serial number, or the id of a rollout. */
  readonly item: string;
  readonly query: URLSearchParams;
}

interface Place {
  readonly product: string;
  readonly page?: string;
  readonly item?: string;
  readonly query?: Readonly<Record<string, string>>;
}

function parseRoute(hash: string): Route {
  const [path = '', query = ''] = splitOnce(hash.replace(/^#?\/?/, ''), '?');
  const [product = '', page = 'fleet', ...rest] = path.split('/').map(decodePart);
  return {
    product,
    page: page === '' ? 'fleet' : page,
    item: rest.join('/'),
    query: new URLSearchParams(query),
  };
}

export function hrefOf({ product, page = 'fleet', item, query = {} }: Place): string {
  const parts = [product, page, ...(item === undefined ? [] : [item])].map(encodeURIComponent);
  const given = Object.entries(query).filter(([, value]) => value !== '');
  const behind = given.length === 0 ? '' : `?${new URLSearchParams(given)}`;
  return `#/${parts.join('/')}${behind}`;
}

/** The route in the address bar; changes with it. */
export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const follow = (): void => setHash(location.hash);
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);
  return parseRoute(hash);
}

export function go(place: Place): void {
  location.hash = hrefOf(place);
}

function splitOnce(text: string, at: string): [string, string] {
  const index = text.indexOf(at);
  return index === -1 ? [text, ''] : [text.slice(0, index), text.slice(index + 1)];
}

/** A link that was cut off somewhere still leads to a page. */
function decodePart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
