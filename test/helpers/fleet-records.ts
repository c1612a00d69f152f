/** Gateways as the fleet knows them, for tests of what looks at them. */
import type { GatewayRecord } from '../../src/fleet/gateway/record.ts';

/** One of which only the named is known. */
export function gatewayRecord(parts: Partial<GatewayRecord>): GatewayRecord {
  return {
    product: 'demo',
    serial: 'gw-1',
    state: 'activated',
    tags: new Map(),
    apps: new Map(),
    lastSeenAt: 0,
    expectedBy: 0,
    isShared: false,
    ...parts,
  };
}
