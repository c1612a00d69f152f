/** The web console: signs in, keeps what is shown fresh, and shows the page of the place in the address. */
import { render } from 'preact';
import { useCallback, useEffect, useMemo, useState } from 'preact/hooks';
import { type Api, createApi } from './base/api.ts';
import { ConsoleContext } from './base/context.ts';
import type { Session } from './base/replies.ts';
import { hrefOf, NEW, type Route, useRoute } from './base/route.ts';
import { words } from './base/words.ts';
import { FleetPage } from './pages/fleet.tsx';
import { GatewayPage } from './pages/gateway.tsx';
import { GatewaysPage } from './pages/gateways.tsx';
import { NewRolloutPage } from './pages/new-rollout.tsx';
import { RolloutPage } from './pages/rollout.tsx';
import { RolloutsPage } from './pages/rollouts.tsx';
import { Dialog } from './parts/confirm.tsx';
import { Frame } from './parts/frame.tsx';
import { SignIn } from './parts/sign-in.tsx';

const BEAT_MS = 5000;

function App() {
  const route = useRoute();
  const [session, setSession] = useState<Session>();
  const [isKnown, setKnown] = useState(false);
  const [isSignedOut, setSignedOut] = useState(false);
  const [isLive, setLive] = useState(true);
  const [said, setSaid] = useState('');
  const { beat, refresh } = useBeat();
  const api = useMemo(() => createApi({ onSignedOut: () => setSignedOut(true), onReach: setLive }), []);
  const signedIn = useCallback((found: Session | undefined) => {
    setSession(found);
    setSignedOut(false);
    setKnown(true);
    refresh();
  }, []);
  useFirstSession(api, signedIn, isKnown ? 0 : beat);
  const first = session?.products[0];
  useEffect(() => {
    if (route.product === '' && first !== undefined) location.replace(hrefOf({ product: first }));
  }, [route.product, first]);
  if (session === undefined)
    return <Entry api={api} isKnown={isKnown} isLive={isLive} onSignedIn={signedIn} />;
  const signOut = (): void => void api.signOut().finally(() => location.reload());
  const nowS = Date.now() / 1000;
  return (
    <ConsoleContext.Provider value={{ api, session, product: route.product, beat, nowS, refresh }}>
      <Frame route={route} session={session} isLive={isLive} said={said} signOut={signOut}>
        {route.product === '' ? <NoProduct /> : <Page route={route} say={setSaid} />}
      </Frame>
      {isSignedOut && (
        <Dialog title={words.signIn.title}>
          <p>{words.signIn.again}</p>
          <SignIn api={api} onSignedIn={signedIn} />
        </Dialog>
      )}
    </ConsoleContext.Provider>
  );
}

/** Asks who is signed in, until the platform says. */
function useFirstSession(api: Api, found: (session: Session | undefined) => void, beat: number): void {
  useEffect(() => {
    if (beat > 0) api.session().then(found, () => undefined);
  }, [beat]);
}

/** Grows every few seconds while somebody looks, and when something was done. */
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
      {!props.isLive && <p role="alert">{words.notLive}</p>}
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

function NoProduct() {
  return (
    <section>
      <h2>{words.none.products}</h2>
      <p>{words.none.productsHelp}</p>
      <pre>gwe platform device add PRODUCT SERIAL</pre>
    </section>
  );
}

function Page({ route, say }: { route: Route; say: (text: string) => void }) {
  const { page, item } = route;
  if (page === 'fleet') return <FleetPage say={say} />;
  if (page === 'gateways' && item === '') return <GatewaysPage route={route} say={say} />;
  if (page === 'gateways') return <GatewayPage key={item} serial={item} say={say} />;
  if (page === 'rollouts' && item === '') return <RolloutsPage say={say} />;
  if (page === 'rollouts' && item === NEW) return <NewRolloutPage route={route} say={say} />;
  if (page === 'rollouts') return <RolloutPage key={item} id={item} say={say} />;
  return (
    <p>
      {words.noSuchPage} <a href={hrefOf({ product: route.product })}>{words.fleet}</a>
    </p>
  );
}

const place = document.getElementById('console');
if (place !== null) render(<App />, place);
