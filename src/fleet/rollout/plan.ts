/**
 * A rollout before it begins: which gateways are in it, which are not and why, in which wave each is, and what it
 * will cost.
 */
import { createHash } from 'node:crypto';
import type { GatewayRecord } from '../gateway/record.ts';
import type { Artifact, Member } from './rollout.ts';

/** How many gateways a wave adds to those before it (`count`), or which share of all it reaches (`share`). */
export type WaveSize = { readonly count: number } | { readonly share: number };

export const DEFAULT_WAVES: readonly WaveSize[] = [
  { share: 0.01 },
  { share: 0.1 },
  { share: 0.5 },
  { share: 1 },
];
/** A first wave with fewer gateways shows nothing. */
const SMALLEST_FIRST_WAVE = 5;

export interface PlanInput {
  readonly artifacts: readonly Artifact[];
  readonly waves: readonly WaveSize[];
  /**
   * The rollout's id: the order of the gateways follows from it, so it is random and the same each time one looks.
   */
  readonly id: string;
  /** The targets on which it can run, if the artifact names them. */
  readonly targets?: readonly string[] | undefined;
  /** Free bytes that a gateway needs to unpack it. */
  readonly neededBytes?: number | undefined;
  /** Why the gateway itself would refuse it, as far as that is known here. */
  refusalOf?(gateway: GatewayRecord): string | undefined;
  /** How many bytes a gateway fetches, and in which way. */
  fetchOf(gateway: GatewayRecord): { readonly way: 'patch' | 'chunks' | 'whole'; readonly bytes: number };
  /** Unix seconds. */
  readonly at: number;
}

interface Plan {
  /** By wave, in the order of their serial numbers. */
  readonly waves: readonly (readonly string[])[];
  /** Reason -> serial numbers. */
  readonly excluded: ReadonlyMap<string, readonly string[]>;
  /** Way -> gateways and bytes. */
  readonly ways: ReadonlyMap<string, { readonly gateways: number; readonly bytes: number }>;
  /** The lowest budget of the gateways that have one. */
  readonly lowestBudgetBytes?: number | undefined;
}

/** Each gateway is in one wave, or is excluded for one reason: the first that applies. */
export function planRollout(gateways: readonly GatewayRecord[], input: PlanInput): Plan {
  const excluded = new Map<string, string[]>();
  const ways = new Map<string, { gateways: number; bytes: number }>();
  const included: string[] = [];
  let lowest: number | undefined;
  for (const gateway of gateways) {
    const reason = reasonToLeaveOut(gateway, input);
    if (reason !== undefined) {
      excluded.set(reason, [...(excluded.get(reason) ?? []), gateway.serial]);
      continue;
    }
    included.push(gateway.serial);
    const { way, bytes } = input.fetchOf(gateway);
    const sum = ways.get(way) ?? { gateways: 0, bytes: 0 };
    ways.set(way, { gateways: sum.gateways + 1, bytes: sum.bytes + bytes });
    if (gateway.budgetLeftBytes !== undefined)
      lowest = Math.min(lowest ?? Number.MAX_SAFE_INTEGER, gateway.budgetLeftBytes);
  }
  return { waves: divide(included, input), excluded, ways, lowestBudgetBytes: lowest };
}

/** The first reason for which a gateway is not in a rollout. */
export function reasonToLeaveOut(
  gateway: GatewayRecord,
  input: Pick<PlanInput, 'artifacts' | 'targets' | 'neededBytes' | 'refusalOf' | 'at'>,
): string | undefined {
  const { artifacts, targets, neededBytes } = input;
  if (gateway.state !== 'activated') return 'not activated';
  if (gateway.hold !== undefined) return 'held';
  if (gateway.isShared) return 'two gateways use its key';
  if (gateway.lastSeenAt === 0) return 'never seen';
  if (input.at > gateway.expectedBy && gateway.expectedBy > 0) return 'silent';
  if (targets !== undefined && gateway.target !== undefined && !targets.includes(gateway.target))
    return 'made for another target';
  if (artifacts.every(({ app, version }) => gateway.apps.get(app)?.version === version))
    return 'there already';
  const refusal = input.refusalOf?.(gateway);
  if (refusal !== undefined) return refusal;
  const isFull =
    neededBytes !== undefined && gateway.freeBytes !== undefined && gateway.freeBytes < neededBytes;
  return isFull ? 'disk too full' : undefined;
}

/**
 * Divides by a digest of rollout and serial number, so that the gateways of a site or a delivery are spread over the
 * waves.
 */
function divide(serials: readonly string[], { waves, id }: PlanInput): string[][] {
  const digest = (serial: string): string => createHash('sha256').update(`${id}\n${serial}`).digest('hex');
  const order = serials
    .map((serial) => [digest(serial), serial] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  let start = 0;
  return waves.map((size, index) => {
    const wanted = 'count' in size ? start + size.count : Math.ceil(size.share * serials.length);
    const least = index === 0 && 'share' in size ? SMALLEST_FIRST_WAVE : 0;
    const isLast = index === waves.length - 1;
    const end = isLast ? serials.length : Math.min(serials.length, Math.max(wanted, least, start));
    const wave = order.slice(start, end).map(([, serial]) => serial);
    start = end;
    return wave.sort();
  });
}

interface UndoStep {
  readonly artifacts: readonly Artifact[];
  readonly serials: readonly string[];
}

/**
 * What takes a rollout back: the gateways that have its version, by the version that each had before. `unknown` are
 * those that have nothing to go back to.
 */
export function planUndo(
  artifacts: readonly Artifact[],
  members: readonly Pick<Member, 'serial' | 'state'>[],
  previousOf: (serial: string, app: string) => string | undefined,
): { readonly steps: readonly UndoStep[]; readonly unknown: readonly string[] } {
  const steps = new Map<string, { artifacts: Artifact[]; serials: string[] }>();
  const unknown: string[] = [];
  for (const { serial, state } of members) {
    if (state !== 'succeeded' && state !== 'installed') continue;
    const back = artifacts.flatMap(({ app }): Artifact[] => {
      const version = previousOf(serial, app);
      return version === undefined ? [] : [{ app, version }];
    });
    if (back.length < artifacts.length) {
      unknown.push(serial);
      continue;
    }
    const key = JSON.stringify(back);
    const serials = steps.get(key)?.serials ?? [];
    steps.set(key, { artifacts: back, serials: [...serials, serial] });
  }
  return { steps: [...steps.values()], unknown };
}
