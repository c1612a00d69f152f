/** Single sign-on at a provider of identities: OpenID Connect, with an authorization code and PKCE. */
import { Agent } from 'node:https';
import fetch from 'node-fetch';
import type * as OAuth from 'oauth4webapi';

interface SignOnOptions {
  /** The issuer, as the provider's own description names it. */
  issuer: string;
  clientId: string;
  clientSecret?: string | undefined;
  /** Where people reach this platform, without a path. */
  publicUrl: string;
  /** The claim that names a person: `email`, or another one. */
  claim?: string | undefined;
  /** PEM of the authority that signed the provider's certificate, where it is not a public one. */
  ca?: string | undefined;
}

/** What a login remembers while the person is at the provider. */
interface SignOnFlow {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

export interface SignOn {
  /** Where to send the person, and what is needed when the person comes back. */
  begin(): Promise<{ url: string; flow: SignOnFlow }>;
  /**
   * The name of the person who came back with this query. Throws where the provider or the query cannot be trusted.
   */
  finish(query: URLSearchParams, flow: SignOnFlow): Promise<string>;
}

const CALLBACK_PATH = '/gwe/v2/sign-on/callback';
const TIMEOUT_MS = 10_000;
const MAX_REPLY_BYTES = 1024 * 1024;

type RequestOptions = ReturnType<typeof requestOptions>;

interface Provider {
  oauth: typeof OAuth;
  server: OAuth.AuthorizationServer;
  client: OAuth.Client;
  authentication: OAuth.ClientAuth;
  request: RequestOptions;
}

export function createSignOn(options: SignOnOptions): SignOn {
  const redirect = `${options.publicUrl}${CALLBACK_PATH}`;
  return {
    async begin() {
      const { oauth, server, client } = await findProvider(options);
      const flow = {
        state: oauth.generateRandomState(),
        nonce: oauth.generateRandomNonce(),
        verifier: oauth.generateRandomCodeVerifier(),
      };
      if (server.authorization_endpoint === undefined)
        throw new Error('the provider names no page for logins');
      const url = new URL(server.authorization_endpoint);
      const query = {
        response_type: 'code',
        client_id: client.client_id,
        redirect_uri: redirect,
        scope: 'openid email profile',
        state: flow.state,
        nonce: flow.nonce,
        code_challenge: await oauth.calculatePKCECodeChallenge(flow.verifier),
        code_challenge_method: 'S256',
      };
      for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
      return { url: url.href, flow };
    },
    async finish(query, { state, nonce, verifier }) {
      const provider = await findProvider(options);
      const { oauth, server, client, authentication, request } = provider;
      const parameters = oauth.validateAuthResponse(server, client, query, state);
      const response = await oauth.authorizationCodeGrantRequest(
        server,
        client,
        authentication,
        parameters,
        redirect,
        verifier,
        request,
      );
      const expected = { expectedNonce: nonce, requireIdToken: true };
      const tokens = await oauth.processAuthorizationCodeResponse(server, client, response, expected);
      // The connection already proves who sent the token; checking its signature as well does not rely on the
      // connection.
      await oauth.validateApplicationLevelSignature(server, response, request);
      return nameOf(provider, tokens, options.claim ?? 'email');
    },
  };
}

/** Looked up each time: its keys and addresses may change, and logins are rare. */
async function findProvider({ issuer, clientId, clientSecret, ca }: SignOnOptions): Promise<Provider> {
  const oauth = await import('oauth4webapi');
  const url = new URL(issuer);
  const request = requestOptions(oauth, url, ca);
  const server = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, request));
  const authentication = clientSecret === undefined ? oauth.None() : oauth.ClientSecretBasic(clientSecret);
  return { oauth, server, client: { client_id: clientId }, authentication, request };
}

function requestOptions(oauth: typeof OAuth, issuer: URL, ca: string | undefined) {
  return {
    [oauth.allowInsecureRequests]: issuer.protocol === 'http:',
    [oauth.customFetch]: fetchBounded(ca),
    signal: () => AbortSignal.timeout(TIMEOUT_MS),
  };
}

async function nameOf(
  { oauth, server, client, request }: Provider,
  tokens: OAuth.TokenEndpointResponse,
  claim: string,
): Promise<string> {
  const claims = oauth.getValidatedIdTokenClaims(tokens);
  if (claims === undefined) throw new Error('the provider sent no identity');
  let facts: Readonly<Record<string, unknown>> = claims;
  if (facts[claim] === undefined && server.userinfo_endpoint !== undefined) {
    const response = await oauth.userInfoRequest(server, client, tokens.access_token, request);
    facts = await oauth.processUserInfoResponse(server, client, claims.sub, response);
  }
  const name = facts[claim];
  if (typeof name !== 'string') throw new Error(`the provider sent no '${claim}'`);
  // Without this check, anybody whose account at the provider takes any mail address could sign in as anyone here.
  if (claim === 'email' && facts.email_verified !== true)
    throw new Error('the provider has not verified the address of mail');
  return name;
}

interface FetchOptions {
  method: string;
  headers: Record<string, string>;
  body?: unknown;
  signal?: AbortSignal | null | undefined;
}

/** Answers of the provider are bounded, and its certificate may be signed by a private authority. */
function fetchBounded(ca: string | undefined): (url: string, options: FetchOptions) => Promise<Response> {
  const agent = ca === undefined ? undefined : new Agent({ ca });
  return async (url, { method, headers, body, signal }) => {
    const text = body instanceof URLSearchParams ? body.toString() : undefined;
    const reply = await fetch(url, {
      method,
      headers,
      redirect: 'error',
      size: MAX_REPLY_BYTES,
      ...(text === undefined ? {} : { body: text }),
      ...(signal === undefined || signal === null ? {} : { signal }),
      ...(agent === undefined || !url.startsWith('https:') ? {} : { agent }),
    });
    return new Response(await reply.text(), { status: reply.status, headers: [...reply.headers] });
  };
}
