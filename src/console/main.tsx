/** The web console: signs in, keeps what is shown fresh, and shows the page that the address names. */
import { render } from 'preact';
import { useCallback, useEffect, useMemo, useState } from 'preact/hooks';
import { type Api, createApi } from './base/api.ts';
import { ConsoleContext, useConsole, useMay } from './base/context.ts';
import type { Session } from './base/replies.ts';
import { hrefOf, NEW, type Route, useRoute } from './base/route.ts';
import { useStream } from './base/stream.ts';
import { words } from './base/words.ts';
import { ContentItemPage, ContentPage } from './pages/content.tsx';
import { FleetPage } from './pages/fleet.tsx';
import { GatewayPage } from './pages/gateway.tsx';
import { GatewaysPage } from './pages/gateways.tsx';
import { NewRolloutPage } from './pages/new-rollout.tsx';
import { ReportsPage } from './pages/reports.tsx';
import { RolloutPage } from './pages/rollout.tsx';
import { RolloutsPage } from './pages/rollouts.tsx';
import { SettingsPage } from './pages/settings.tsx';
import { Dialog } from './parts/confirm.tsx';
import { Frame } from './parts/frame.tsx';
import { NewProduct } from './parts/new-product.tsx';
import { SignIn } from './parts/sign-in.tsx';

/**
 * The stream of events does not report everything: gateways that are late, and the contents of reports, have to be
 * looked for.
 */
const BEAT_MS = 5000;

interface Reach {
  readonly isThere: boolean;
  /** Unix seconds of the last answer. */
  readonly asOf: number;
}

function after(isThere: boolean): (before: Reach) => Reach {
  return ({ asOf }) => ({ isThere, asOf: isThere ? Math.floor(Date.now() / 1000) : asOf });
}

function App() {
  const route = useRoute();
  const [session, setSession] = useState<Session>();
  const [isKnown, setKnown] = useState(false);
  const [isSignedOut, setSignedOut] = useState(false);
  const [reach, setReach] = useState({ isThere: true, asOf: 0 });
  const [said, setSaid] = useState('');
  const [isStreaming, setStreaming] = useState<boolean>();
  const { beat, refresh } = useBeat();
  const api = useMemo(
    () =>
      createApi({ onSignedOut: () => setSignedOut(true), onReach: (isThere) => setReach(after(isThere)) }),
    [],
  );
  const signedIn = useCallback((found: Session | undefined) => {
    setSession(found);
    setSignedOut(false);
    setKnown(true);
    refresh();
  }, []);
  useFirstSession(api, signedIn, isKnown ? 0 : beat);
  useSignInElsewhere(api, signedIn, isSignedOut ? beat : 0);
  const first = session?.products[0];
  useEffect(() => {
    if (route.product === '' && first !== undefined) location.replace(hrefOf({ product: first }));
  }, [route.product, first]);
  if (session === undefined)
    return <Entry api={api} isKnown={isKnown} isLive={reach.isThere} onSignedIn={signedIn} />;
  const signOut = (): void => void api.signOut().finally(() => location.reload());
  const renew = (): Promise<void> => api.session().then(signedIn);
  const nowS = Date.now() / 1000;
  return (
    <ConsoleContext.Provider value={{ api, session, product: route.product, beat, nowS, refresh, renew }}>
      <Follow product={session.products.includes(route.product) ? route.product : ''} tell={setStreaming} />
      <Frame route={route} session={session} live={{ ...reach, isStreaming }} said={said} signOut={signOut}>
        {route.product === '' ? <NoProduct say={setSaid} /> : <Page route={route} say={setSaid} />}
      </Frame>
      {isSignedOut && (
        <Dialog title={words.signIn.title}>
          <p>{words.signIn.again}</p>
          <SignIn api={api} onSignedIn={signedIn} isAgain />
        </Dialog>
      )}
    </ConsoleContext.Provider>
  );
}

/** Somebody may have signed in elsewhere, such as at a provider of identities in another window. */
function useSignInElsewhere(api: Api, found: (session: Session) => void, beat: number): void {
  useEffect(() => {
    if (beat > 0)
      api.session().then(
        (session) => session !== undefined && found(session),
        () => undefined,
      );
  }, [beat]);
}

/** Asks who is signed in, until the platform answers. */
function useFirstSession(api: Api, found: (session: Session | undefined) => void, beat: number): void {
  useEffect(() => {
    if (beat > 0) api.session().then(found, () => undefined);
  }, [beat]);
}

/** Grows every few seconds while somebody looks, and after each act. */
function useBeat(): { beat: number; refresh: () => void } {
  const [beat, setBeat] = useState(1);
  const refresh = useCallback(() => setBeat((before) => before + 1), []);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || refresh(), BEAT_MS);
    document.addEventListener('visibilitychange', refresh);
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', refresh);
    };
  }, []);
  return { beat, refresh };
}

function Entry(props: {
  api: Api;
  isKnown: boolean;
  isLive: boolean;
  onSignedIn: (session: Session) => void;
}) {
  return (
    <main class="entry">
      <h1>gwe</h1>
      {!props.isLive && <p role="alert">{words.neverLive}</p>}
      {props.isKnown ? (
        <>
          <h2>{words.signIn.title}</h2>
          <SignIn api={props.api} onSignedIn={props.onSignedIn} />
        </>
      ) : (
        <p role="status">{words.loading}</p>
      )}
    </main>
  );
}

function NoProduct({ say }: { say: (text: string) => void }) {
  const may = useMay('*');
  return (
    <section>
      <h2>{words.none.products}</h2>
      {may('gateway.import') ? <NewProduct made={say} /> : <p>{words.none.productsHelp}</p>}
    </section>
  );
}

/** Reads again what is shown when something has happened. */
function Follow({ product, tell }: { product: string; tell: (isStreaming: boolean | undefined) => void }) {
  const { refresh } = useConsole();
  const isOpen = useStream(product, refresh);
  useEffect(() => tell(isOpen), [isOpen]);
  return null;
}

function Page({ route, say }: { route: Route; say: (text: string) => void }) {
  const { page, item } = route;
  if (page === 'fleet') return <FleetPage say={say} />;
  if (page === 'gateways' && item === '') return <GatewaysPage route={route} say={say} />;
  if (page === 'gateways') return <GatewayPage key={item} serial={item} say={say} />;
  if (page === 'rollouts' && item === '') return <RolloutsPage say={say} />;
  if (page === 'rollouts' && item === NEW) return <NewRolloutPage route={route} say={say} />;
  if (page === 'rollouts') return <RolloutPage key={item} id={item} say={say} />;
  if (page === 'content' && item === '') return <ContentPage say={say} />;
  if (page === 'content') return <ContentItemPage key={item} id={item} say={say} />;
  if (page === 'reports') return <ReportsPage />;
  if (page === 'settings') return <SettingsPage route={route} say={say} />;
  return (
    <p>
      {words.noSuchPage} <a href={hrefOf({ product: route.product })}>{words.fleet}</a>
    </p>
  );
}

const place = document.getElementById('console');
if (place !== null) render(<App />, place);
