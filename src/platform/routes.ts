/** Which call a request is. */

import { serveAdmin } from './admin-api.ts';
import type { TokenGuard } from './admin-token.ts';
import { type ApiContext, serveAliases, serveRecord, serveRecordOfAlias } from './device-api.ts';
import { type Exchange, Refusal, type Reply, requireMethod, textReply } from './exchange.ts';
import { serveManageContent, serveManageSerial } from './manage-api.ts';
import { serveActivate, serveDownload } from './provision-api.ts';

export async function route(context: ApiContext, guard: TokenGuard, exchange: Exchange): Promise<Reply> {
  const [area, ...rest] = exchange.segments;
  if ((area === 'onep:v1' || area === 'api:v1') && rest[0] === 'stack') {
    return routeData(context, exchange, rest.slice(1));
  }
  if (area === 'provision') return routeProvision(context, guard, exchange, rest);
  if (area === 'gwe' && rest[0] === 'v1' && rest[1] === 'products') {
    guard.check(exchange);
    return serveAdmin(context, exchange, rest.slice(2));
  }
  if (rest.length === 0 && (area === 'timestamp' || area === 'ip')) {
    requireMethod(exchange, 'GET');
    return area === 'ip' ? addressReply(exchange) : timestampReply(context);
  }
  throw notFound();
}

function notFound(): Refusal {
  return new Refusal(404, 'cannot find this path');
}

async function routeData(context: ApiContext, exchange: Exchange, rest: readonly string[]): Promise<Reply> {
  const [resource, ...names] = rest;
  if (resource === 'alias' && names.join('/') === '') {
    requireMethod(exchange, 'GET', 'POST');
    return serveAliases(context, exchange);
  }
  if (resource === 'alias') {
    requireMethod(exchange, 'POST');
    return serveRecordOfAlias(context, exchange, names.join('/'));
  }
  if (resource !== 'record' || names.length > 0) throw notFound();
  requireMethod(exchange, 'POST');
  return serveRecord(context, exchange);
}

async function routeProvision(
  context: ApiContext,
  guard: TokenGuard,
  exchange: Exchange,
  rest: readonly string[],
): Promise<Reply> {
  const [call, kind, model = '', ...names] = rest;
  if (call === 'activate' && kind === undefined) {
    requireMethod(exchange, 'POST');
    return serveActivate(context, exchange);
  }
  if (call === 'download' && kind === undefined) {
    requireMethod(exchange, 'GET');
    return serveDownload(context, exchange);
  }
  if (call !== 'manage') throw notFound();
  guard.check(exchange);
  if (kind === 'content') return serveManageContent(context, exchange, model, names.join('/'));
  if (kind === 'model') return serveManageSerial(context, exchange, model, names.join('/'));
  throw notFound();
}

function timestampReply(context: ApiContext): Reply {
  return textReply(200, String(Math.floor(context.clock.wallMs() / 1000)));
}

/** Four octets of the server's address and two of its port, high byte first. */
function addressReply(exchange: Exchange): Reply {
  const { localAddress = '', localPort = 0 } = exchange.request.socket;
  const octets = /^(?:::ffff:)?(\d+)\.(\d+)\.(\d+)\.(\d+)$/i.exec(localAddress)?.slice(1);
  if (octets === undefined)
    throw new Refusal(404, 'cannot tell the address: this connection has no IPv4 address');
  return textReply(200, [...octets, localPort >> 8, localPort & 255].join(','));
}
