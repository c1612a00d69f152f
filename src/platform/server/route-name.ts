/** Kinds of calls, for metrics and the log: only a few names, whatever is requested. */
import type { Exchange } from '../http/exchange.ts';

export type RouteName =
  | 'read'
  | 'write'
  | 'long-poll'
  | 'record'
  | 'rpc'
  | 'activate'
  | 'download'
  | 'manage'
  | 'v1'
  | 'v2'
  | 'health'
  | 'other';

/** The kind of a request with this method and these segments. */
export function routeName({
  method,
  segments,
  request,
}: Pick<Exchange, 'method' | 'segments' | 'request'>): RouteName {
  const [area, first, second] = segments;
  if (area === 'onep:v1' || area === 'api:v1') {
    if (first === 'rpc') return 'rpc';
    if (second === 'record' || segments.length > 3) return 'record';
    if (second !== 'alias') return 'other';
    if (method === 'POST') return 'write';
    return request.headers['request-timeout'] === undefined ? 'read' : 'long-poll';
  }
  if (area === 'provision')
    return first === 'activate' || first === 'download' || first === 'manage' ? first : 'other';
  if (area === 'gwe') return first === 'v1' || first === 'v2' ? first : 'other';
  return area === 'healthz' || area === 'readyz' || area === 'metrics' ? 'health' : 'other';
}

/** Calls of operators. */
export function isManagement(route: RouteName): boolean {
  return route === 'manage' || route === 'v1' || route === 'v2';
}
