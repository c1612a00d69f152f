/** Bytes on the wire since the start, by purpose; and which interface they are counted under. */
import * as os from 'node:os';
import { RESERVED_APP_NAME } from '../../artifact/name.ts';
import { readTextBounded } from '../../base/fs.ts';
import type { Traffic } from '../../protocol/transport-types.ts';
import type { Purpose } from './book.ts';

interface TrafficTotal {
  rxBytes: number;
  txBytes: number;
  maxRxBytes: number;
  maxTxBytes: number;
  requests: number;
}
type TrafficTotals = Readonly<Record<string, TrafficTotal>>;

export interface TrafficCounter {
  /** A request that is told in parts counts with the last one. */
  add(purpose: string, rxBytes: number, txBytes: number, isLast?: boolean): void;
  totals(): TrafficTotals;
}

/** `past`: what the same run counted before its process went to sleep. */
export function createTrafficCounter(past: TrafficTotals = {}): TrafficCounter {
  const totals = new Map<string, TrafficTotal>(Object.entries(past));
  return {
    add(purpose, rxBytes, txBytes, isLast = true) {
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
        requests: old.requests + (isLast ? 1 : 0),
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

/** What a request was for. One without a usable answer is wasted, except for the bytes of a tarball: those are kept. */
export function purposeOf(
  traffic: Pick<Traffic, 'purpose' | 'path' | 'status' | 'isWhole' | 'isLast'>,
): Purpose {
  const { purpose, status, isWhole, isLast } = traffic;
  const isRefused = status === undefined || status === 429 || status >= 500;
  if (isLast && (isRefused || (!isWhole && purpose !== 'download'))) return 'wasted';
  switch (purpose) {
    case 'read':
    case 'time':
      return 'check-in';
    case 'write':
      return 'report';
    case 'provision':
      return 'activation';
    case 'download':
      return isOwnTarball(traffic.path) ? 'self-update' : 'download';
  }
}

function isOwnTarball(path: string): boolean {
  const id = new URLSearchParams(path.slice(path.indexOf('?') + 1)).get('id') ?? '';
  return id.startsWith(`${RESERVED_APP_NAME}.v`);
}

/** The interface that has this address; `undefined` when none has it (any more). */
export function interfaceOf(address: string | undefined): string | undefined {
  if (address === undefined) return undefined;
  const plain = address.replace(/^::ffff:(?=\d+\.)/, '').replace(/%.*$/, '');
  try {
    return Object.entries(os.networkInterfaces()).find(([, list]) =>
      list?.some((each) => each.address === plain),
    )?.[0];
  } catch {
    return undefined; // A container may forbid the question.
  }
}
