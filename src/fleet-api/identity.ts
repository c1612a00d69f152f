/**
 * Who makes a call: identified by a token in a header, or by the session cookie that a browser got for a token or a
 * password.
 */

import { changeTokenOf, isChangeToken, openSession, type Session } from '../fleet/people/sessions.ts';
import type { StoredToken } from '../fleet/people/tokens.ts';
import { opens, parseToken } from '../fleet/people/tokens.ts';
import { type Exchange, header, Refusal } from '../platform/http/exchange.ts';
import type { Entrance } from '../platform/management/entrance.ts';
import type { RecordStorage } from '../platform/storage/record-storage.ts';
import type { Actor, FleetContext } from './call.ts';
import { readCookie, SESSION_COOKIE } from './people/cookies.ts';
import { findLogin } from './people/operators.ts';

export const NOBODY: Actor = { name: 'nobody', grants: [], kind: 'nobody', credential: '', expiresAt: 0 };

const CHANGE_HEADER = 'x-gwe-change';
/** Far longer than anything sealed with the key is valid; if the key is made anew, everybody has to sign in again. */
const KEY_SECONDS = 10 * 365 * 86_400;

/**
 * Refuses with 401 a caller that nothing identifies, and with 403 a change by cookie alone, which another site's page
 * could have sent.
 */
export async function identify(
  context: FleetContext,
  entrance: Entrance,
  exchange: Exchange,
): Promise<Actor> {
  const bearer = /^Bearer (\S+)$/i.exec(header(exchange, 'authorization') ?? '')?.[1];
  const given = bearer ?? header(exchange, 'x-exosite-token');
  const cookie = given === undefined ? readCookie(header(exchange, 'cookie'), SESSION_COOKIE) : undefined;
  if (cookie !== undefined) return bySession(context, entrance, exchange, cookie);
  const nowS = nowSeconds(context);
  const parsed = parseToken(given ?? '');
  const stored = parsed === undefined ? undefined : await context.storage.findToken(parsed.id);
  if (parsed !== undefined && stored !== undefined && opens(stored, parsed.secret, nowS)) {
    await noteUse(context.storage, stored.id);
    return actorOf(stored);
  }
  // Either the server's own token, or not a valid one: wrong guesses of both kinds are counted by the guard.
  entrance.guard.check(exchange);
  return serverActor(entrance);
}

async function bySession(
  context: FleetContext,
  entrance: Entrance,
  exchange: Exchange,
  cookie: string,
): Promise<Actor> {
  const key = await sessionKey(context);
  const session = openSession(cookie, key, nowSeconds(context));
  const actor = session === undefined ? undefined : await actorBehind(context, entrance, session);
  if (session === undefined || actor === undefined)
    throw new Refusal(401, 'cannot go on: the session has ended, sign in again');
  const isReading = exchange.method === 'GET' || exchange.method === 'HEAD';
  if (!isReading && !isChangeToken(header(exchange, CHANGE_HEADER) ?? '', session, key))
    throw new Refusal(403, `cannot change anything by a cookie alone: expected ${CHANGE_HEADER}`);
  return { ...actor, session: { ...session, changeToken: changeTokenOf(session, key) } };
}

/** A session ends with its token or login: when that is revoked, has expired, or was replaced. */
async function actorBehind(
  context: FleetContext,
  entrance: Entrance,
  { credential }: Session,
): Promise<Actor | undefined> {
  if (credential === entrance.guard.tokenId) return serverActor(entrance);
  const stored = await context.storage.findToken(credential);
  if (stored === undefined) return findLogin(context.storage, credential);
  return nowSeconds(context) < stored.expiresAt ? actorOf(stored) : undefined;
}

function actorOf({ id, name, grants, expiresAt }: StoredToken): Actor {
  return { name, grants, kind: 'token', credential: id, expiresAt };
}

function serverActor({ guard }: Entrance): Actor {
  return {
    name: 'admin-token',
    grants: [{ role: 'admin', product: '*' }],
    kind: 'server',
    credential: guard.tokenId,
    expiresAt: Number.MAX_SAFE_INTEGER,
  };
}

export function sessionKey({ storage }: FleetContext): Promise<Buffer> {
  return storage.secret('sessions', 32, KEY_SECONDS);
}

function nowSeconds({ clock }: FleetContext): number {
  return clock.wallMs() / 1000;
}

export const TOKEN_USE_KIND = 'token-use';
/** The use of a token is noted at most this often. */
const USE_EVERY_S = 60;

async function noteUse(storage: RecordStorage, id: string): Promise<void> {
  const noted = await storage.findRecord(TOKEN_USE_KIND, `${id}:now`);
  if (noted !== undefined) return;
  await storage.changeRecord({ kind: TOKEN_USE_KIND, key: `${id}:now` }, (_, nowS) => ({
    result: undefined,
    put: { body: '', endsAt: nowS + USE_EVERY_S },
  }));
  await storage.changeRecord({ kind: TOKEN_USE_KIND, key: id }, (_, nowS) => ({
    result: undefined,
    put: { body: String(nowS) },
  }));
}
