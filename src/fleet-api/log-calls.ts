/** The log of an update on a gateway: asked for by a command, sent in pieces, joined here. */
import * as v from 'valibot';
import { APP_NAME_PATTERN } from '../artifact/name.ts';
import { decodeLogPiece, joinPieces } from '../fleet/gateway/log-pieces.ts';
import { Refusal } from '../platform/http/exchange.ts';
import type { FleetGateway } from '../platform/storage/fleet-storage.ts';
import { type Answer, type ApiCall, bodyOf, type FleetContext, nameOf, type Request } from './call.ts';
import { writeAlias } from './command-calls.ts';

const ASK = v.object({ app: v.pipe(v.string(), v.regex(APP_NAME_PATTERN, 'expected the name of an app')) });
const LOGS = '/products/{product}/devices/{serial}/logs';
/** How many reports of a gateway are looked through, the newest ones. */
const MOST_REPORTS = 1000;

export const logCalls: readonly ApiCall[] = [
  {
    method: 'POST',
    path: LOGS,
    permission: 'gateway.command',
    summary: 'Ask a gateway for the log of the last update of an app; it sends it at its next check-in',
    schema: ASK,
    run: askForLog,
  },
  {
    method: 'GET',
    path: LOGS,
    permission: 'fleet.read',
    summary: 'The logs that a gateway has sent, as far as their pieces are there; the newest first',
    run: listLogs,
  },
];

async function gatewayOf({ storage }: FleetContext, request: Request): Promise<FleetGateway> {
  const found = await storage.findGateway(nameOf(request, 'product'), nameOf(request, 'serial'));
  if (found === undefined) throw new Refusal(404, 'no such device');
  return found;
}

async function askForLog(context: FleetContext, request: Request): Promise<Answer> {
  const { app } = bodyOf(ASK, request.body);
  const gateway = await gatewayOf(context, request);
  const [waiting] = await context.storage.read(gateway.id, ['engine_fetch']);
  if (waiting !== undefined && waiting.value !== '')
    throw new Refusal(409, 'cannot ask for a log: a command waits there that the gateway has not read yet');
  const value = JSON.stringify({ logs: [{ app }] });
  const problem = await writeAlias(context, request, gateway, {
    alias: 'engine_fetch',
    value,
    action: 'gateway.log',
  });
  if (problem !== undefined) throw new Refusal(409, `cannot ask for a log: ${problem}`);
  return { status: 201, body: { app, asked: true } };
}

async function listLogs(context: FleetContext, request: Request): Promise<Answer> {
  const { id } = await gatewayOf(context, request);
  const [reports, [waiting]] = await Promise.all([
    context.storage.history(id, 'fetch_status', MOST_REPORTS),
    context.storage.read(id, ['engine_fetch']),
  ]);
  const pieces = reports.flatMap(({ value, timestamp }) => decodeLogPiece(value, timestamp) ?? []);
  const isAsked = waiting !== undefined && /^\{"logs":/.test(waiting.value);
  return { body: { logs: joinPieces(pieces), isAsked } };
}
