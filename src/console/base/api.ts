/** Calls of `/gwe/v2` with the session of this browser. */
import type { Decoder } from './decode.ts';
import { plain } from './format.ts';
import { SESSION, type Session, SIGN_IN } from './replies.ts';

/** The platform refused a call, or did not answer (`status` 0). The message is for a person. */
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
  /** Sent in place of `body`: a table. */
  readonly text?: string;
  /** The call is refused if this is no longer the current revision. */
  readonly revision?: number;
  readonly decoder: Decoder<T>;
}

export interface Api {
  read<T>(path: string, decoder: Decoder<T>): Promise<T>;
  change<T>(change: Change<T>): Promise<T>;
  /** Refused with 401 for a token that is not valid. */
  signIn(token: string): Promise<Session>;
  /** Signs in by name and password; refused with 401 if they are wrong, or if a code is missing. */
  logIn(who: { name: string; password: string; code?: string }): Promise<Session>;
  /** The ways to sign in, beside a token and a password. */
  signInWays(): Promise<{ readonly singleSignOn: boolean }>;
  /** Changes the person's own password; the session continues as a new one. */
  changePassword(password: string, newPassword: string): Promise<Session>;
  /** `undefined` where nobody is signed in. */
  session(): Promise<Session | undefined>;
  signOut(): Promise<void>;
  /** Sends bytes with their digest; `moved` gets the share of them that has been sent. */
  upload<T>(upload: BytesUpload<T>): Promise<T>;
}

interface BytesUpload<T> {
  readonly path: string;
  readonly bytes: Blob;
  readonly decoder: Decoder<T>;
  moved(share: number): void;
}

interface ApiEvents {
  /** Called when the session has ended in the middle of something. */
  onSignedOut(): void;
  /** Called with whether the platform answers. */
  onReach(isThere: boolean): void;
}

/** A call without an answer after this time has failed. */
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
    change: ({ method, path, body, text, revision, decoder }) => {
      const headers: Record<string, string> = { 'x-gwe-change': changeToken };
      if (body !== undefined) headers['content-type'] = 'application/json';
      if (revision !== undefined) headers['if-match'] = `"${revision}"`;
      if (text !== undefined) headers['content-type'] = 'text/csv';
      const sent = text ?? (body === undefined ? undefined : JSON.stringify(body));
      const init = { method, headers, ...(sent === undefined ? {} : { body: sent }) };
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
    signInWays: async () => answer(await call('/sign-in', {}), SIGN_IN),
    async changePassword(password, newPassword) {
      const headers = { 'content-type': 'application/json', 'x-gwe-change': changeToken };
      const init = { method: 'POST', headers, body: JSON.stringify({ password, newPassword }) };
      return keep(await answer(await call('/me/password', init), SESSION));
    },
    async session() {
      const response = await call('/session', {});
      return response.status === 401 ? undefined : keep(await answer(response, SESSION));
    },
    upload: (upload) => signedIn(sendBytes(upload, changeToken)),
    async signOut() {
      await call('/session', { method: 'DELETE', headers: { 'x-gwe-change': changeToken } });
    },
  };
}

/** Uses XMLHttpRequest: `fetch` does not report how far an upload is. */
function sendBytes<T>({ path, bytes, decoder, moved }: BytesUpload<T>, changeToken: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('PUT', `gwe/v2${path}`);
    request.setRequestHeader('content-type', 'application/gzip');
    request.setRequestHeader('x-gwe-change', changeToken);
    request.upload.onprogress = ({ loaded, total }) => moved(total === 0 ? 1 : loaded / total);
    request.onerror = () => reject(new ApiProblem(0, NO_ANSWER));
    request.onload = () => {
      const { status } = request;
      const response = new Response(request.responseText, { status });
      if (!response.ok) void problemOf(response).then(reject);
      else
        response
          .json()
          .then((body: unknown) => decoder(body, ''))
          .then(resolve, reject);
    };
    request.send(bytes);
  });
}

async function problemOf(response: Response): Promise<ApiProblem> {
  const body: unknown = await response.json().catch(() => undefined);
  const detail = typeof body === 'object' && body !== null && 'detail' in body ? body.detail : undefined;
  // It may name a gateway, in the gateway's own letters.
  const words = typeof detail === 'string' ? plain(detail) : `the platform answered ${response.status}`;
  return new ApiProblem(response.status, words);
}
