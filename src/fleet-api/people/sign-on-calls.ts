/** The two pages of a login at a provider of identities: the way there, and the way back. */
import { createHash, randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { describeError } from '../../base/errors.ts';
import { Refusal, type Reply } from '../../platform/http/exchange.ts';
import type { Answer, ApiCall, FleetContext, Request } from '../call.ts';
import { FLOW_COOKIE, readCookie, renderCookie } from './cookies.ts';
import { loggedIn } from './login-calls.ts';
import { findOperator } from './operators.ts';
import type { SignOn } from './sign-on.ts';

const KIND = 'sign-on';
const FLOW_S = 600;
const FlowSchema = v.object({ state: v.string(), nonce: v.string(), verifier: v.string() });

export const signOnCalls: readonly ApiCall[] = [
  {
    method: 'GET',
    path: '/sign-in',
    permission: 'anyone',
    summary: 'By what a person may sign in here: whether there is a provider of identities',
    run: async ({ signOn }) => ({ body: { singleSignOn: signOn !== undefined } }),
  },
  {
    method: 'GET',
    path: '/sign-on',
    permission: 'anyone',
    summary: 'Go to the provider of identities to log in',
    gives: ['text/html'],
    run: begin,
  },
  {
    method: 'GET',
    path: '/sign-on/callback',
    permission: 'anyone',
    summary: 'Come back from it, and open a session',
    query: ['code', 'state', 'iss', 'error', 'error_description'],
    gives: ['text/html'],
    run: finish,
  },
];

function signOnOf({ signOn }: FleetContext): SignOn {
  if (signOn === undefined)
    throw new Refusal(404, 'cannot sign on: this platform has no provider of identities');
  return signOn;
}

async function begin(context: FleetContext, request: Request): Promise<Answer> {
  const { url, flow } = await signOnOf(context).begin().catch(refuse);
  const secret = randomBytes(32).toString('base64url');
  await context.storage.changeRecord({ kind: KIND, key: keyOf(secret) }, (_, nowS) => ({
    result: undefined,
    put: { body: JSON.stringify(flow), endsAt: nowS + FLOW_S },
  }));
  // The browser has to send it when the provider sends the person back.
  const cookie = renderCookie(FLOW_COOKIE, secret, {
    seconds: FLOW_S,
    isEncrypted: request.isEncrypted,
    sameSite: 'Lax',
  });
  const headers = { location: url, 'set-cookie': cookie, 'cache-control': 'no-store' };
  return { body: undefined, reply: { status: 302, headers, body: '' } };
}

async function finish(context: FleetContext, request: Request): Promise<Answer> {
  const signOn = signOnOf(context);
  const secret = readCookie(request.header('cookie'), FLOW_COOKIE) ?? '';
  // Accepted once only: a query that others can see must not work again.
  const found = await context.storage.changeRecord({ kind: KIND, key: keyOf(secret) }, (body) => ({
    result: body,
    isRemoved: true,
  }));
  if (found === undefined) throw new Refusal(400, 'cannot sign on: it was not begun here, or too long ago');
  const name = await signOn.finish(request.query, v.parse(FlowSchema, JSON.parse(found))).catch(refuse);
  const operator = await findOperator(context.storage, name);
  if (operator === undefined)
    throw new Refusal(
      403,
      `cannot sign on: there is no operator '${name.slice(0, 64)}' here; an admin adds one`,
    );
  const { headers } = await loggedIn(context, request, operator);
  return { body: undefined, reply: homePage(headers ?? {}) };
}

/**
 * Goes on by a page of our own: with a redirect that began on another site, the browser would not send the session's
 * cookie.
 */
function homePage(headers: Readonly<Record<string, string>>): Reply {
  const body = '<!doctype html><meta http-equiv="refresh" content="0; url=/"><a href="/">gwe</a>';
  return {
    status: 200,
    headers: { ...headers, 'content-type': 'text/html', 'cache-control': 'no-store' },
    body,
  };
}

function refuse(error: unknown): never {
  throw new Refusal(
    502,
    `cannot sign on: ${describeError(error)
      .replace(/\p{Cc}/gu, ' ')
      .slice(0, 200)}`,
  );
}

function keyOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
