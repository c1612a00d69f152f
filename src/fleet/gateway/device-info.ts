/**
 * `device_info` and `usage_report` as the agent writes them (one-platform.md §4.2): the facts about the machine that
 * the fleet uses.
 */
import { APP_VERSION_PATTERN } from '../../artifact/name.ts';
import { countOf, fieldsOf, listOf, matchOf, numberOf, parseJson, textOf } from './decode.ts';
import type { SeenReleases, Traffic } from './record.ts';

interface DeviceInfo {
  readonly gweVersion?: string | undefined;
  readonly target?: string | undefined;
  /** The id of the kernel's boot, unique among the boots of all machines. */
  readonly bootId?: string | undefined;
  /** Seconds between two of its check-ins. */
  readonly intervalS?: number | undefined;
  /** Seconds since its boot. */
  readonly uptimeS?: number | undefined;
  /** Bytes free on the file system that apps are unpacked on. */
  readonly freeBytes?: number | undefined;
  readonly releases?: SeenReleases | undefined;
}

const TARGET = /^linux-[a-z0-9_]{1,16}$/;
const BOOT_ID = /^[0-9a-f-]{8,36}$/;
const MAX_INTERVAL_S = 31_536_000;
const MOST_MOUNTS = 128;
/** Where the agent unpacks apps. */
const APPS_DIRECTORY = '/opt/gwe/apps/';

/** `undefined` for anything that is not such a report. */
export function decodeDeviceInfo(text: string): DeviceInfo | undefined {
  const parsed = parseJson(text);
  const fields = Array.isArray(parsed) ? undefined : fieldsOf(parsed);
  if (fields === undefined) return undefined;
  const intervalS = countOf(fields.interval);
  return {
    gweVersion: matchOf(fields.gwe, APP_VERSION_PATTERN),
    target: matchOf(fields.target, TARGET),
    bootId: matchOf(fields.boot, BOOT_ID),
    intervalS: intervalS === undefined || intervalS === 0 ? undefined : Math.min(intervalS, MAX_INTERVAL_S),
    uptimeS: numberOf(fields.uptime),
    freeBytes: freeOf(listOf(fields.mounts, MOST_MOUNTS)),
    releases: releasesOf(fieldsOf(fields.releases)),
  };
}

function releasesOf(found: Fields | undefined): SeenReleases | undefined {
  const { state } = found ?? {};
  if (state !== 'fresh' && state !== 'stale' && state !== 'missing') return undefined;
  const [release, expires] = [countOf(found?.release), countOf(found?.expires)];
  return {
    state,
    ...(release === undefined ? {} : { release }),
    ...(expires === undefined ? {} : { expires }),
    ...(found?.stale_ok === true ? { isLenient: true } : {}),
  };
}

/** The free bytes of the file system with the longest path above the apps. */
function freeOf(mounts: readonly unknown[]): number | undefined {
  let longest = -1;
  let free: number | undefined;
  for (const mount of mounts) {
    const path = textOf(fieldsOf(mount)?.path, 512) ?? '';
    const available = countOf(fieldsOf(mount)?.available);
    const isAbove = APPS_DIRECTORY.startsWith(path.endsWith('/') ? path : `${path}/`);
    if (path === '' || !isAbove || available === undefined || path.length <= longest) continue;
    [longest, free] = [path.length, available];
  }
  return free;
}

interface UsageReport {
  readonly budgetLeftBytes?: number | undefined;
  /** `APP VERSION` that waits for next month's data budget. */
  readonly waiting?: string | undefined;
  readonly traffic?: Traffic | undefined;
}

/** `undefined` for anything that is not such a report. */
export function decodeUsageReport(text: string): UsageReport | undefined {
  const parsed = parseJson(text);
  const fields = Array.isArray(parsed) ? undefined : fieldsOf(parsed);
  const ledger = fieldsOf(fields?.gwe_ledger);
  if (fields === undefined || ledger === undefined) return undefined;
  const traffic = trafficOf(fields, ledger);
  return {
    budgetLeftBytes: countOf(ledger.budget_left),
    waiting: textOf(ledger.waiting, 160),
    ...(traffic === undefined ? {} : { traffic }),
  };
}

type Fields = Readonly<Record<string, unknown>>;

const MOST_INTERFACES = 16;
const MOST_PURPOSES = 12;

/** Bytes in both directions: those of the month of its last day, and those of all time by purpose. */
function trafficOf(fields: Fields, ledger: Fields): Traffic | undefined {
  const month = matchOf(ledger.day, /^\d{4}-\d\d-\d\d$/)?.slice(0, 7);
  if (month === undefined) return undefined;
  const purposes = new Map<string, number>();
  for (const row of Object.values(fields).slice(0, MOST_INTERFACES))
    for (const [purpose, cell] of Object.entries(fieldsOf(fieldsOf(row)?.gwe) ?? {})) {
      if (!/^[a-z-]{2,20}$/.test(purpose) || (purposes.size >= MOST_PURPOSES && !purposes.has(purpose)))
        continue;
      const bytes = (countOf(fieldsOf(cell)?.tot_rx) ?? 0) + (countOf(fieldsOf(cell)?.tot_tx) ?? 0);
      purposes.set(purpose, (purposes.get(purpose) ?? 0) + bytes);
    }
  const monthBytes = (countOf(ledger.month_rx) ?? 0) + (countOf(ledger.month_tx) ?? 0);
  return { month, monthBytes, purposes: [...purposes] };
}
