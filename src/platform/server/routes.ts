/** Finds the call that a request is for. */

import { type ApiContext, serveAliases, serveRecord, serveRecordOfAlias } from '../devices/device-api.ts';
import { serveActivate, serveDownload } from '../devices/provision-api.ts';
import { serveRpc } from '../devices/rpc-api.ts';
import { type Exchange, Refusal, type Reply, requireMethod, textReply } from '../http/exchange.ts';
import { type StaticFiles, serveStaticFile } from '../http/static-files.ts';
import { serveAdmin } from '../management/admin-api.ts';
import {
  type Entrance,
  enterDevices,
  enterManagement,
  enterOperators,
  type OperatorApi,
} from '../management/entrance.ts';
import { serveManageContent } from '../management/manage-api.ts';
import { serveManageModel } from '../management/model-api.ts';

/** What operators have in addition to the calls of the protocol. */
export interface OperatorParts {
  /** Answers what is below `/gwe/v2`. */
  readonly api?: OperatorApi | undefined;
  /** The pages of the console; read when somebody asks for one. */
  readonly pages?: (() => StaticFiles) | undefined;
}

export async function route(
  context: ApiContext,
  entrance: Entrance,
  exchange: Exchange,
  operators: OperatorParts,
): Promise<Reply> {
  const [area, ...rest] = exchange.segments;
  if ((area === 'onep:v1' || area === 'api:v1') && rest[0] === 'stack') {
    enterDevices(entrance);
    return routeData(context, exchange, rest.slice(1));
  }
  if (area === 'onep:v1' && exchange.segments.join('/') === 'onep:v1/rpc/process') {
    enterDevices(entrance);
    requireMethod(exchange, 'POST');
    return serveRpc(context, exchange);
  }
  if (area === 'provision') return routeProvision(context, entrance, exchange, rest);
  if (area === 'gwe' && rest[0] === 'v1' && rest[1] === 'products') {
    enterManagement(entrance, exchange);
    return serveAdmin(context, exchange, rest.slice(2));
  }
  if (area === 'gwe' && rest[0] === 'v2' && operators.api !== undefined)
    return operators.api(entrance, exchange);
  if (rest.length === 0 && (area === 'timestamp' || area === 'ip')) {
    requireMethod(exchange, 'GET');
    return area === 'ip' ? addressReply(exchange) : timestampReply(context);
  }
  return servePage(entrance, exchange, operators);
}

/** The console has its paths beside the calls: `/`, and its own files. */
function servePage(entrance: Entrance, exchange: Exchange, { pages }: OperatorParts): Reply {
  const [area, ...rest] = exchange.segments;
  const isPage = rest.length === 0 ? area === '' : area === 'console';
  if (!isPage || pages === undefined || entrance.serves === 'devices') throw notFound();
  enterOperators(entrance, exchange);
  const reply = serveStaticFile(pages(), exchange);
  if (reply === undefined) throw notFound();
  return reply;
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
  entrance: Entrance,
  exchange: Exchange,
  rest: readonly string[],
): Promise<Reply> {
  const [call, kind, model = '', ...names] = rest;
  if (call === 'activate' && kind === undefined) {
    enterDevices(entrance);
    requireMethod(exchange, 'POST');
    return serveActivate(context, exchange);
  }
  if (call === 'download' && kind === undefined) {
    enterDevices(entrance);
    requireMethod(exchange, 'GET');
    return serveDownload(context, exchange);
  }
  if (call !== 'manage') throw notFound();
  enterManagement(entrance, exchange);
  if (kind === 'content') return serveManageContent(context, exchange, model, names.join('/'));
  if (kind === 'model') return serveManageModel(context, exchange, rest.slice(2));
  if (kind === 'group' || kind === 'share')
    throw new Refusal(501, `cannot manage a ${kind}: this platform has none`);
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
