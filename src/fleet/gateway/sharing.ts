/**
 * Detects two gateways that use one key, as happens when a memory card is copied. Each works by itself, and the
 * platform shows one gateway that seems to change its mind. They give themselves away by what a single machine cannot
 * do.
 */

export interface SharingTraces {
  /** Ids of boots in the order in which they were first heard of, the newest last. */
  readonly boots: readonly string[];
  /** Boot times of agents that report no boot id, Unix seconds. */
  readonly bootTimes: readonly number[];
  /** The greatest failure number, and how often a smaller one was followed by a greater one. */
  readonly failures: { readonly greatest: number; readonly isBehind: boolean; readonly returns: number };
  /** The last addresses, each of them once, the one used last at the end. */
  readonly addresses: readonly string[];
  /** The last sign that there are two machines. */
  readonly sign?: SharingSign | undefined;
}

interface SharingSign {
  /** Unix seconds. */
  readonly at: number;
  readonly why: string;
}

interface SharingFacts {
  readonly at: number;
  readonly bootId?: string | undefined;
  readonly uptimeS?: number | undefined;
  readonly failureSequence?: number | undefined;
  readonly address?: string | undefined;
}

export const NO_TRACES: SharingTraces = {
  boots: [],
  bootTimes: [],
  failures: { greatest: 0, isBehind: false, returns: 0 },
  addresses: [],
};

const MOST_KEPT = 8;
/** A report may be delayed this long by a bad line, and a clock may be set: boots closer together count as one. */
const SAME_BOOT_S = 900;
/** A gateway that lost its state counts from 1 again, once; two gateways with one key do so again and again. */
const MOST_RETURNS = 2;
/** Without another sign for this long, it counts as one machine again. */
const SIGN_LASTS_S = 7 * 86_400;

/** The traces after one more request or report. */
export function traceSharing(traces: SharingTraces, facts: SharingFacts): SharingTraces {
  const boots = traceBoot(traces, facts);
  const failures = traceFailures(traces.failures, facts.failureSequence);
  const why =
    boots.why ?? (failures.returns >= MOST_RETURNS ? 'its count of failures goes back and forth' : undefined);
  const addresses = traceAddress(traces.addresses, facts.address);
  const from = addresses.length > 1 ? ` (from ${addresses.slice(-2).join(' and ')})` : '';
  return {
    boots: boots.boots,
    bootTimes: boots.bootTimes,
    failures: failures.returns >= MOST_RETURNS ? { ...failures, returns: 0 } : failures,
    addresses,
    sign: why === undefined ? traces.sign : { at: facts.at, why: `${why}${from}` },
  };
}

export function isShared({ sign }: SharingTraces, nowS: number): boolean {
  return sign !== undefined && nowS - sign.at < SIGN_LASTS_S;
}

function traceBoot(
  { boots, bootTimes }: SharingTraces,
  { at, bootId, uptimeS }: SharingFacts,
): Pick<SharingTraces, 'boots' | 'bootTimes'> & { why?: string } {
  if (bootId !== undefined) {
    if (boots.at(-1) === bootId) return { boots, bootTimes };
    const isBack = boots.includes(bootId);
    const next = [...boots.filter((one) => one !== bootId), bootId].slice(-MOST_KEPT);
    const why = { why: `boot ${bootId.slice(0, 8)} came back after another` };
    return { boots: next, bootTimes, ...(isBack ? why : {}) };
  }
  if (uptimeS === undefined) return { boots, bootTimes };
  // For agents that report no boot id: a machine cannot boot before its last boot.
  const bootedAt = Math.round(at - uptimeS);
  const isSame = (one: number | undefined): boolean =>
    one !== undefined && Math.abs(one - bootedAt) <= SAME_BOOT_S;
  if (isSame(bootTimes.at(-1))) return { boots, bootTimes };
  const isBack = bootTimes.some(isSame);
  const next = [...bootTimes.filter((one) => !isSame(one)), bootedAt].slice(-MOST_KEPT);
  return { boots, bootTimes: next, ...(isBack ? { why: 'an uptime goes on after a shorter one' } : {}) };
}

function traceFailures(
  failures: SharingTraces['failures'],
  sequence: number | undefined,
): SharingTraces['failures'] {
  // 0 means that the gateway could not store the report, and did not count it.
  if (sequence === undefined || sequence === 0) return failures;
  const { greatest, isBehind, returns } = failures;
  if (sequence < greatest) return { greatest, isBehind: true, returns };
  return { greatest: sequence, isBehind: false, returns: isBehind ? returns + 1 : returns };
}

function traceAddress(addresses: readonly string[], address: string | undefined): readonly string[] {
  if (address === undefined || addresses.at(-1) === address) return addresses;
  return [...addresses.filter((one) => one !== address), address.slice(0, 64)].slice(-MOST_KEPT);
}
