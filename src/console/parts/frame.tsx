/** The frame of every page: where one is, where one can go, who is signed in, and whether what is shown is live. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { exactTime, plain } from '../base/format.ts';
import type { Session } from '../base/replies.ts';
import { go, hrefOf, NEW, type Route } from '../base/route.ts';
import { words } from '../base/words.ts';

const PAGES = ['fleet', 'gateways', 'rollouts', 'content', 'reports', 'settings'] as const;

interface Live {
  /** The platform answers. */
  readonly isThere: boolean;
  /** The stream of events is open; `undefined` while that is not known. */
  readonly isStreaming: boolean | undefined;
  /** Unix seconds of the last answer; 0 if there was none. */
  readonly asOf: number;
}

interface FrameProps {
  readonly route: Route;
  readonly session: Session;
  readonly live: Live;
  /** A screen reader reads it out when it changes. */
  readonly said: string;
  signOut(): void;
  readonly children: ComponentChildren;
}

export function Frame({ route, session, live, said, signOut, children }: FrameProps) {
  const { product, page, item } = route;
  const main = useRef<HTMLElement>(null);
  const title = titleOf(route);
  useEffect(() => {
    document.title = words.title(title, plain(product));
    scrollTo(0, 0);
  }, [product, page, item]);
  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        {words.skip}
      </button>
      <header>
        <span class="brand">gwe</span>
        <label>
          <span class="unseen">{words.product}</span>
          <select value={product} onChange={(event) => go({ product: event.currentTarget.value, page })}>
            {[...new Set([...session.products, ...(product === '' ? [] : [product])])].map((one) => (
              <option key={one} value={one}>
                {plain(one)}
              </option>
            ))}
          </select>
        </label>
        <nav aria-label={words.pages}>
          {PAGES.map((one) => (
            <a
              key={one}
              href={hrefOf({ product, page: one })}
              aria-current={one === page ? 'page' : undefined}
            >
              {words[one]}
            </a>
          ))}
        </nav>
        <span class="who">
          <span title={words.signIn.as(plain(session.name))}>{plain(session.name)}</span>
          <button type="button" onClick={signOut}>
            {words.signIn.signOut}
          </button>
        </span>
      </header>
      <p role="status" class={live.isThere ? 'live' : 'live not'}>
        {sayLive(live)}
      </p>
      <main ref={main} tabIndex={-1}>
        <h1>{title}</h1>
        {children}
      </main>
      <p role="status" class="said">
        {said}
      </p>
    </>
  );
}

function sayLive({ isThere, isStreaming, asOf }: Live): string {
  if (!isThere) return asOf === 0 ? words.neverLive : words.notLive(exactTime(asOf));
  return isStreaming === false ? words.polled : words.live;
}

function titleOf({ page, item }: Route): string {
  if (page === 'rollouts' && item === NEW) return words.rolloutPage.newOne;
  if (item !== '' && page !== 'settings') return plain(item);
  const known = PAGES.find((one) => one === page);
  return known === undefined ? plain(page) : words[known];
}
