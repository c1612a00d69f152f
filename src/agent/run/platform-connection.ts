/** How this gateway reaches its platform: the transport and the content area by the configuration of now. */
import { describeError, GweError } from '../../base/errors.ts';
import { parseHttpDate } from '../../protocol/answer.ts';
import { type ContentApi, createContentApi } from '../../protocol/content-api.ts';
import { createTransport } from '../../protocol/transport.ts';
import type {
  Traffic,
  Transport,
  TransportRequest,
  TransportResponse,
  TransportSettings,
} from '../../protocol/transport-types.ts';
import { followRedirects } from '../../protocol/wire/follow-redirects.ts';
import { createPace } from '../../protocol/wire/pace.ts';
import { readGatewayKeys } from '../../store/gateway-keys.ts';
import type { TrafficCounter } from '../traffic/counter.ts';
import type { AgentContext } from './context.ts';
import { type Identity, identityOf, isSameIdentity, platformUrlOf } from './device-key.ts';
import { requireProduct } from './identity.ts';
import { createTicketFile } from './ticket-file.ts';

/** Throws PROTOCOL_OFFLINE where there is no platform to fetch from (a local install). */
export function requireApi(content: ContentApi | undefined): ContentApi {
  if (content !== undefined) return content;
  throw new GweError('PROTOCOL_OFFLINE', 'cannot fetch: this run has no platform to fetch from');
}

/** How to reach the platform by the present configuration. Throws CONFIG_NO_IDENTITY without a product. */
export function platformSettings(
  context: Pick<AgentContext, 'settings' | 'device' | 'env' | 'gweVersion'>,
): TransportSettings {
  const settings = context.settings();
  const { model } = requireProduct(context.device());
  const optional = (key: string, value: string) => (value === '' ? {} : { [key]: value });
  return {
    baseUrl: platformUrlOf(settings.platformUrl, model),
    userAgent: settings.userAgent === '' ? `GatewayEngine-v${context.gweVersion}` : settings.userAgent,
    timeoutMs: settings.httpTimeoutS * 1000,
    allowInsecureHttp: settings.insecureHttp,
    env: context.env,
    ...optional('caFile', settings.caFile),
    ...optional('clientCertFile', settings.clientCertFile),
    ...optional('clientKeyFile', settings.clientKeyFile),
  };
}

/**
 * The connection to the platform by the present configuration. Throws CONFIG_* for one that cannot work.
 * `probeAfterMs` is for requests whose answers take long.
 */
export function composeTransport(
  context: AgentContext,
  traffic: TrafficCounter,
  probeAfterMs?: number,
): Transport {
  const platform = platformSettings(context);
  const settings = probeAfterMs === undefined ? platform : { ...platform, probeAfterMs };
  const onTraffic = (one: Traffic): void => {
    traffic.add(one.purpose, one.rxBytes, one.txBytes, one.isLast);
    context.ledger.add(one);
  };
  const straight = createTransport(settings, {
    clock: context.clock,
    onDate: (text, validity) => context.clockFloor.heard(parseHttpDate(text), validity),
    onTraffic,
    tickets: createTicketFile(context.layout.tlsTicket, (error) =>
      context.log.warn('tls.ticket', {}, describeError(error)),
    ),
  });
  const transport = followRedirects(straight, settings, { clock: context.clock, onTraffic });
  return {
    ...transport,
    async request(request) {
      const mostBytes = context.budget.gate(request.purpose);
      if (mostBytes === undefined) return transport.request(request);
      return requestSmall(transport, request, mostBytes);
    },
    async stream(request) {
      context.budget.gate(request.purpose);
      return transport.stream(request);
    },
  };
}

/**
 * The key to send with a request, for as long as this gateway is who it is now: a connection that was made for another
 * platform, or as another device, gets none.
 */
export function deviceKey(
  context: Pick<AgentContext, 'device' | 'settings' | 'layout'>,
): () => string | undefined {
  const identity = (): Identity =>
    identityOf({ layout: context.layout, platformUrl: context.settings().platformUrl }, context.device());
  const first = identity();
  return () => (isSameIdentity(first, identity()) ? context.device().cik || undefined : undefined);
}

/** What is too large for the daily look is not too large forever: it waits for the next month's bytes. */
async function requestSmall(
  transport: Transport,
  request: TransportRequest,
  mostBytes: number,
): Promise<TransportResponse> {
  try {
    return await transport.request({ ...request, maxBytes: Math.min(request.maxBytes, mostBytes) });
  } catch (error) {
    if (!(error instanceof GweError) || error.code !== 'PROTOCOL_TOO_LARGE') throw error;
    const message = `${error.message}; nothing more is read while budget_month is used up`;
    throw new GweError('BUDGET_SPENT', message, { cause: error });
  }
}

/** Whether nothing is installed but what a key of this gateway has signed. */
function needsSignature({ layout, settings }: Pick<AgentContext, 'layout' | 'settings'>): boolean {
  const { keys, problems } = readGatewayKeys(layout);
  return settings().requireSignatures > 0 && keys.length > 0 && problems.length === 0;
}

export function composeContentApi(
  context: Pick<AgentContext, 'clock' | 'settings' | 'device' | 'layout'>,
  transport: Transport,
): ContentApi {
  const product = requireProduct(context.device());
  return createContentApi({
    transport,
    cik: deviceKey(context),
    product: { ...product, style: context.settings().activationStyle },
    clock: context.clock,
    maxReplyBytes: context.settings().maxReplyBytes,
    pace: createPace(context.clock, () => context.settings().rateLimit),
    mayBeElsewhere: (isPinned) =>
      context.settings().followContentRedirects && (isPinned || needsSignature(context)),
  });
}
