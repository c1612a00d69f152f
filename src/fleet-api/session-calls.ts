/**
 * Signing in and out of a browser. Any credential that can make calls can open a session, which allows no more and
 * lasts no longer than the credential.
 */
import { randomBytes } from 'node:crypto';
import { changeTokenOf, SESSION_SECONDS, type Session, sealSession } from '../fleet/people/sessions.ts';
import { Refusal } from '../platform/http/exchange.ts';
import type { Actor, Answer, ApiCall, FleetContext, Request } from './call.ts';
import { sessionKey } from './identity.ts';
import { renderCookie, SESSION_COOKIE } from './people/cookies.ts';
import { closeLogin } from './people/operators.ts';

export const sessionCalls: readonly ApiCall[] = [
  {
    method: 'POST',
    path: '/session',
    permission: 'self',
    summary: 'Sign in a browser by the token in the header: sets a cookie',
    run: signIn,
  },
  {
    method: 'GET',
    path: '/session',
    permission: 'self',
    summary: 'Who is signed in, and may do what in which products',
    run: async (context, { actor }) => ({ body: await describe(context, actor) }),
  },
  {
    method: 'DELETE',
    path: '/session',
    permission: 'self',
    summary: 'Sign out: the cookie is taken back',
    run: async ({ storage }, request) => {
      const { kind, credential } = request.actor;
      if (kind === 'person') await closeLogin(storage, credential);
      return { body: { signedOut: true }, headers: { 'set-cookie': cookie('', 0, request) } };
    },
  },
];

async function signIn(context: FleetContext, request: Request): Promise<Answer> {
  const { actor } = request;
  if (actor.session !== undefined) throw new Refusal(409, 'cannot sign in: signed in already');
  return openedSession(context, request, actor);
}

/** The answer that opens a session of this actor. */
export async function openedSession(context: FleetContext, request: Request, actor: Actor): Promise<Answer> {
  const { at } = request;
  const key = await sessionKey(context);
  const expiresAt = Math.floor(Math.min(at + SESSION_SECONDS, actor.expiresAt));
  const session: Session = {
    credential: actor.credential,
    expiresAt,
    nonce: randomBytes(16).toString('hex'),
  };
  const signedIn = { ...actor, session: { ...session, changeToken: changeTokenOf(session, key) } };
  return {
    status: 201,
    body: await describe(context, signedIn),
    headers: { 'set-cookie': cookie(sealSession(session, key), expiresAt - at, request) },
  };
}

function cookie(value: string, seconds: number, { isEncrypted }: Request): string {
  return renderCookie(SESSION_COOKIE, value, { seconds, isEncrypted, sameSite: 'Strict' });
}

/** How many products are named: a page shows no more of them at once. */
const MOST_PRODUCTS = 1000;

async function describe({ storage }: FleetContext, actor: Actor): Promise<Record<string, unknown>> {
  const { name, grants, session } = actor;
  const isForAll = grants.some(({ product }) => product === '*');
  const all = isForAll ? (await storage.listProducts({ limit: MOST_PRODUCTS })).items : [];
  const named = grants.map(({ product }) => product).filter((product) => product !== '*');
  return {
    name,
    grants,
    products: [...new Set([...all, ...named])].sort(),
    changeToken: session?.changeToken ?? null,
    expiresAt: session?.expiresAt ?? null,
  };
}
