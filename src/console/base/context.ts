/** What every part of a page may need: the calls, who is signed in, the product, the time. */
import { createContext } from 'preact';
import { useContext, useEffect, useRef, useState } from 'preact/hooks';
import { type Call, type Grant, mayCall, ROLES } from '../../fleet/people/roles.ts';
import type { Api } from './api.ts';
import type { Session } from './replies.ts';

interface Console {
  readonly api: Api;
  readonly session: Session;
  readonly product: string;
  /** Grows each time the platform is to be asked again: then what is shown is read again. */
  readonly beat: number;
  /** Unix seconds. */
  readonly nowS: number;
  /** Asks the platform again now. */
  refresh(): void;
  /** Asks again who is signed in, and which products there are. */
  renew(): Promise<void>;
}

export const ConsoleContext = createContext<Console | undefined>(undefined);

export function useConsole(): Console {
  const found = useContext(ConsoleContext);
  if (found === undefined) throw new Error('a part of a page is outside of the console');
  return found;
}

/**
 * Decides what is shown; the platform decides by the same table what is allowed. `*`: acts that concern all products.
 */
export function useMay(where?: '*'): (call: Call) => boolean {
  const { session, product } = useConsole();
  const grants = session.grants.flatMap(({ role, product: of }): Grant[] => {
    const known = ROLES.find((one) => one === role);
    return known === undefined ? [] : [{ role: known, product: of }];
  });
  return (call) => mayCall(grants, call, where ?? product);
}

interface Loaded<T> {
  /** The value that was read last, also while it is being read again or cannot be read. */
  readonly value: T | undefined;
  readonly problem: string | undefined;
}

/** Reads what `key` stands for, and reads it again with each beat. */
export function useLoaded<T>(key: string, load: () => Promise<T>): Loaded<T> {
  const { beat } = useConsole();
  const [found, setFound] = useState<Loaded<T> & { key: string }>({
    key,
    value: undefined,
    problem: undefined,
  });
  const wanted = useRef({ key: '', isBusy: false, isAgain: false });
  useEffect(() => {
    // A read that takes longer than a beat is not interrupted; it is repeated once when it has ended.
    if (wanted.current.key === key && wanted.current.isBusy) {
      wanted.current.isAgain = true;
      return;
    }
    const own = { key, isBusy: true, isAgain: false };
    wanted.current = own;
    const run = (): void => {
      own.isAgain = false;
      load()
        .then(
          (value) => wanted.current === own && setFound({ key, value, problem: undefined }),
          (error: unknown) =>
            wanted.current === own &&
            setFound((before) => ({
              key,
              value: before.key === key ? before.value : undefined,
              problem: error instanceof Error ? error.message : String(error),
            })),
        )
        .finally(() => {
          own.isBusy = own.isAgain && wanted.current === own;
          if (own.isBusy) run();
        });
    };
    run();
  }, [key, beat]);
  useEffect(
    () => () => {
      wanted.current = { key: '', isBusy: false, isAgain: false };
    },
    [],
  );
  return found.key === key ? found : { value: undefined, problem: undefined };
}
