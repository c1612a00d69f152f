/** An answer of the API is unknown until one of these has decoded it. Each throws a sentence that names the place. */

export type Decoder<T> = (value: unknown, place: string) => T;
export type Decoded<D> = D extends Decoder<infer T> ? T : never;

function unexpected(value: unknown, place: string, expected: string): Error {
  const found = value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value;
  return new Error(`cannot read the answer of the platform: ${place} is ${found}, expected ${expected}`);
}

export const text: Decoder<string> = (value, place) => {
  if (typeof value === 'string') return value;
  throw unexpected(value, place, 'a text');
};

export const number: Decoder<number> = (value, place) => {
  if (typeof value === 'number') return value;
  throw unexpected(value, place, 'a number');
};

export const flag: Decoder<boolean> = (value, place) => {
  if (typeof value === 'boolean') return value;
  throw unexpected(value, place, 'true or false');
};

/** A missing or null value becomes `undefined`. */
export function maybe<T>(decoder: Decoder<T>): Decoder<T | undefined> {
  return (value, place) => (value === undefined || value === null ? undefined : decoder(value, place));
}

export function list<T>(decoder: Decoder<T>): Decoder<readonly T[]> {
  return (value, place) => {
    if (!Array.isArray(value)) throw unexpected(value, place, 'a list');
    return value.map((item: unknown, at) => decoder(item, `${place}[${at}]`));
  };
}

/** Decodes an object of any names into a Map, where a name from outside means nothing but itself. */
export function mapOf<T>(decoder: Decoder<T>): Decoder<ReadonlyMap<string, T>> {
  return (value, place) =>
    new Map(entriesOf(value, place).map(([name, item]) => [name, decoder(item, `${place}.${name}`)]));
}

/** An object with these fields; any others are left out. */
export function object<F extends Readonly<Record<string, Decoder<unknown>>>>(
  fields: F,
): Decoder<{ readonly [K in keyof F]: Decoded<F[K]> }> {
  return (value, place) => {
    const found = new Map(entriesOf(value, place));
    const read = Object.entries(fields).map(([name, decoder]) => [
      name,
      decoder(found.get(name), place === '' ? name : `${place}.${name}`),
    ]);
    return Object.fromEntries(read);
  };
}

function entriesOf(value: unknown, place: string): [string, unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw unexpected(value, place, 'an object');
  return Object.entries(value);
}
