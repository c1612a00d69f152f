/** Calls of `/gwe/v2` by the session of this browser. */
import type { Decoder } from './decode.ts';
import { SESSION, type Session } from './replies.ts';

/** What the platform refused, or that it did not answer (`status` 0). The message is for a person. */
export class ApiProblem extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

interface Change<T> {
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  /** Refused where this is not the present one any more. */
  readonly revision?: number;
  readonly decoder: Decoder<T>;
}

export interface Api {
  read<T>(path: string, decoder: Decoder<T>): Promise<T>;
  change<T>(change: Change<T>): Promise<T>;
  /** Refused with 401 for a token that opens nothing. */
  signIn(token: string): Promise<Session>;
  /** By name and password; refused with 401 for wrong ones, and where a code is missing. */
  logIn(who: { name: string; password: string; code?: string }): Promise<Session>;
  /** The own password; the session goes on as a new one. */
  changePassword(password: string, newPassword: string): Promise<Session>;
  /** `undefined` where nobody is signed in. */
  session(): Promise<Session | undefined>;
  signOut(): Promise<void>;
}

interface ApiEvents {
  /** The session has ended in the middle of something. */
  onSignedOut(): void;
  /** Whether the platform answers. */
  onReach(isThere: boolean): void;
}

/** A call that has no answer by then has none. */
const DEADLINE_MS = 30_000;
const NO_ANSWER = 'the platform does not answer';

export function createApi(events: ApiEvents): Api {
  let changeToken = '';
  const keep = (session: Session): Session => {
    changeToken = session.changeToken ?? '';
    return session;
  };
  const call = async (path: string, init: RequestInit): Promise<Response> => {
    try {
      const response = await fetch(`gwe/v2${path}`, { ...init, signal: AbortSignal.timeout(DEADLINE_MS) });
      events.onReach(true);
      return response;
    } catch {
      events.onReach(false);
      throw new ApiProblem(0, NO_ANSWER);
    }
  };
  const answer = async <T>(response: Response, decoder: Decoder<T>): Promise<T> => {
    if (!response.ok) throw await problemOf(response);
    const body: unknown = await response.json();
    return decoder(body, '');
  };
  const signedIn = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      if (error instanceof ApiProblem && error.status === 401) events.onSignedOut();
      throw error;
    }
  };
  return {
    read: (path, decoder) => signedIn(call(path, {}).then((response) => answer(response, decoder))),
    change: ({ method, path, body, revision, decoder }) => {
      const headers: Record<string, string> = { 'x-gwe-change': changeToken };
      if (body !== undefined) headers['content-type'] = 'application/json';
      if (revision !== undefined) headers['if-match'] = `"${revision}"`;
      const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
      return signedIn(call(path, init).then((response) => answer(response, decoder)));
    },
    async signIn(token) {
      const headers = { 'x-exosite-token': token };
      return keep(await answer(await call('/session', { method: 'POST', headers }), SESSION));
    },
    async logIn(who) {
      const headers = { 'content-type': 'application/json' };
      const init = { method: 'POST', headers, body: JSON.stringify(who) };
      return keep(await answer(await call('/login', init), SESSION));
    },
    async changePassword(password, newPassword) {
      const headers = { 'content-type': 'application/json', 'x-gwe-change': changeToken };
      const init = { method: 'POST', headers, body: JSON.stringify({ password, newPassword }) };
      return keep(await answer(await call('/me/password', init), SESSION));
    },
    async session() {
      const response = await call('/session', {});
      return response.status === 401 ? undefined : keep(await answer(response, SESSION));
    },
    async signOut() {
      await call('/session', { method: 'DELETE', headers: { 'x-gwe-change': changeToken } });
    },
  };
}

async function problemOf(response: Response): Promise<ApiProblem> {
  const body: unknown = await response.json().catch(() => undefined);
  const detail = typeof body === 'object' && body !== null && 'detail' in body ? body.detail : undefined;
  const words = typeof detail === 'string' ? detail : `the platform answered ${response.status}`;
  return new ApiProblem(response.status, words);
}
