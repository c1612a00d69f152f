/**
 * Content that the platform keeps elsewhere (`follow_content_redirects`). Only what can be told from a forgery is
 * fetched there, and nothing is shown: neither the device's key nor the client certificate.
 */
import { GweError } from '../../base/errors.ts';
import { createTransport } from '../transport.ts';
import { isLocalAddress } from '../transport-connect.ts';
import { isLoopbackHost } from '../transport-proxy.ts';
import type {
  StreamRequest,
  StreamResponse,
  Transport,
  TransportOptions,
  TransportSettings,
} from '../transport-types.ts';

const MOST_HOPS = 3;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** `transport` with streams that may be followed elsewhere, where the request says so. */
export function followRedirects(
  transport: Transport,
  settings: TransportSettings,
  options: Pick<TransportOptions, 'clock' | 'onTraffic'>,
): Transport {
  return {
    ...transport,
    async stream(request) {
      const response = await transport.stream(request);
      if (request.mayBeElsewhere !== true) return response;
      return follow({ transport, settings, options, request }, response);
    },
  };
}

interface Following {
  transport: Transport;
  settings: TransportSettings;
  options: Pick<TransportOptions, 'clock' | 'onTraffic'>;
  request: StreamRequest;
}

async function follow(state: Following, first: StreamResponse): Promise<StreamResponse> {
  const platform = new URL(state.settings.baseUrl);
  let response = first;
  let at = new URL(state.request.path, platform);
  for (let hops = 0; REDIRECTS.has(response.status); hops++) {
    const location = response.headers.get('location') ?? '';
    response.cancel();
    if (hops === MOST_HOPS) throw refused(at, `more than ${MOST_HOPS} redirects`);
    at = checkTarget(at, location, platform);
    response =
      at.origin === platform.origin && platform.pathname === '/'
        ? await state.transport.stream({ ...state.request, path: at.pathname + at.search })
        : await fetchElsewhere(state, at);
  }
  return response;
}

function checkTarget(from: URL, location: string, platform: URL): URL {
  const to = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (to === undefined || !/^https?:$/.test(to.protocol)) throw refused(from, 'a redirect to nowhere');
  if (to.username !== '' || to.password !== '') throw refused(to, 'a redirect with a password in it');
  if (to.origin === platform.origin) return to;
  if (to.protocol === 'http:' && (from.protocol === 'https:' || platform.protocol === 'https:'))
    throw refused(to, 'a redirect from https to http');
  const host = to.hostname.replace(/^\[|\]$/g, '');
  if (isLoopbackHost(to.hostname) || isLocalAddress(host))
    throw refused(to, 'a redirect to this machine or its link');
  return to;
}

async function fetchElsewhere({ settings, options, request }: Following, at: URL): Promise<StreamResponse> {
  const { clientCertFile: _certificate, clientKeyFile: _key, ...open } = settings;
  const elsewhere = createTransport({ ...open, baseUrl: at.origin, refusesLocal: true }, options);
  const range = request.headers?.Range;
  try {
    const { headers: _headers, ...plain } = request;
    const response = await elsewhere.stream({
      ...plain,
      path: at.pathname + at.search,
      ...(range === undefined ? {} : { headers: { Range: range } }),
    });
    assertContent(response, at);
    return {
      ...response,
      chunks: closing(response.chunks, elsewhere),
      cancel() {
        response.cancel();
        elsewhere.close();
      },
    };
  } catch (error) {
    elsewhere.close();
    throw error;
  }
}

/** Another host's 401 says nothing about the device's key, nor its 404 about the item. */
function assertContent({ status, cancel }: StreamResponse, at: URL): void {
  if (REDIRECTS.has(status) || [200, 206, 412, 416].includes(status)) return;
  // Nobody reads it, and its connection would stay.
  cancel();
  const code = status === 429 || status >= 500 ? 'PROTOCOL_BUSY' : 'PROTOCOL_REFUSED';
  throw new GweError(
    code,
    `cannot fetch content from '${at.origin}', where the platform sends to: status ${status}`,
    {
      facts: { status },
    },
  );
}

async function* closing(chunks: AsyncIterable<Buffer>, transport: Transport): AsyncGenerator<Buffer> {
  try {
    yield* chunks;
  } finally {
    transport.close();
  }
}

function refused({ origin }: URL, what: string): GweError {
  return new GweError(
    'PROTOCOL_REFUSED',
    `cannot fetch content: ${what} ('${origin}'), which gwe does not follow`,
  );
}
