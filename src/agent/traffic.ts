/** Bytes on the wire since the start, by purpose; and which interface they are counted under. */
import * as os from 'node:os';
import { readTextBounded } from '../base/fs.ts';

export interface TrafficTotal {
  rxBytes: number;
  txBytes: number;
  maxRxBytes: number;
  maxTxBytes: number;
  requests: number;
}
export type TrafficTotals = Readonly<Record<string, TrafficTotal>>;

export interface TrafficCounter {
  add(purpose: string, rxBytes: number, txBytes: number): void;
  totals(): TrafficTotals;
}

export function createTrafficCounter(): TrafficCounter {
  const totals = new Map<string, TrafficTotal>();
  return {
    add(purpose, rxBytes, txBytes) {
      const old = totals.get(purpose) ?? {
        rxBytes: 0,
        txBytes: 0,
        maxRxBytes: 0,
        maxTxBytes: 0,
        requests: 0,
      };
      totals.set(purpose, {
        rxBytes: old.rxBytes + rxBytes,
        txBytes: old.txBytes + txBytes,
        maxRxBytes: Math.max(old.maxRxBytes, rxBytes),
        maxTxBytes: Math.max(old.maxTxBytes, txBytes),
        requests: old.requests + 1,
      });
    },
    totals: () => Object.fromEntries(totals),
  };
}

/** The configured interface, else the one of the default route, else the first that is not loopback. */
export function trafficInterface(configured: string): string {
  if (configured !== '') return configured;
  const routes = (readTextBounded('/proc/net/route', 1024 * 1024) ?? '')
    .split('\n')
    .map((line) => line.split('\t'));
  const byRoute = routes.find(([, destination]) => destination === '00000000')?.[0];
  const outward = Object.entries(os.networkInterfaces()).find(([, list]) =>
    list?.some((address) => !address.internal),
  );
  return byRoute ?? outward?.[0] ?? 'lo';
}
