/** What every part of a page may need: the calls, who is signed in, the product, the time. */
import { createContext } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import { type Call, type Grant, mayCall, ROLES } from '../../fleet/people/roles.ts';
import type { Api } from './api.ts';
import type { Session } from './replies.ts';

interface Console {
  readonly api: Api;
  readonly session: Session;
  readonly product: string;
  /** Grows with each look at the platform: what is shown is read again. */
  readonly beat: number;
  /** Unix seconds. */
  readonly nowS: number;
  /** Looks again now. */
  refresh(): void;
}

export const ConsoleContext = createContext<Console | undefined>(undefined);

export function useConsole(): Console {
  const found = useContext(ConsoleContext);
  if (found === undefined) throw new Error('a part of a page is outside of the console');
  return found;
}

/** Decides what is shown; what is allowed the platform decides by the same table. */
export function useMay(): (call: Call) => boolean {
  const { session, product } = useConsole();
  const grants = session.grants.flatMap(({ role, product: of }): Grant[] => {
    const known = ROLES.find((one) => one === role);
    return known === undefined ? [] : [{ role: known, product: of }];
  });
  return (call) => mayCall(grants, call, product);
}

interface Loaded<T> {
  /** The last that was read, also while it is read again or cannot be. */
  readonly value: T | undefined;
  readonly problem: string | undefined;
}

/** Reads what `key` stands for, and again with each beat. */
export function useLoaded<T>(key: string, load: () => Promise<T>): Loaded<T> {
  const { beat } = useConsole();
  const [found, setFound] = useState<Loaded<T> & { key: string }>({
    key,
    value: undefined,
    problem: undefined,
  });
  useEffect(() => {
    let isWanted = true;
    load().then(
      (value) => isWanted && setFound({ key, value, problem: undefined }),
      (error: unknown) =>
        isWanted &&
        setFound((before) => ({
          key,
          value: before.key === key ? before.value : undefined,
          problem: error instanceof Error ? error.message : String(error),
        })),
    );
    return () => {
      isWanted = false;
    };
  }, [key, beat]);
  return found.key === key ? found : { value: undefined, problem: undefined };
}
