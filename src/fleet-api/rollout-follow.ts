/** Rollouts that take in gateways after their start. */
import { finish } from '../fleet/rollout/operate.ts';
import type { Artifact, Policy } from '../fleet/rollout/rollout.ts';
import { Refusal } from '../platform/http/exchange.ts';
import type { StoredRollout } from '../platform/storage/fleet-storage.ts';
import type { FleetContext, Request } from './call.ts';
import type { Spec } from './rollout-plan.ts';

/** The filter of the gateways that join later: that of the group as it is now, and its own. Empty: all gateways. */
export async function followOf(
  { storage }: FleetContext,
  product: string,
  { follow, filter, group, serials }: Spec,
): Promise<Pick<Policy, 'follow'>> {
  if (follow !== true) return {};
  if (serials !== undefined)
    throw new Refusal(422, 'cannot follow a list of serial numbers: expected a filter or a group');
  const groups = group === undefined ? [] : await storage.listGroups(product);
  const saved = groups.find(({ name }) => name === group)?.filter;
  const parts = [saved, filter].filter((part): part is string => part !== undefined && part.trim() !== '');
  return { follow: parts.length > 1 ? parts.map((part) => `(${part})`).join(' and ') : parts.join('') };
}

/** How many older rollouts are looked at. */
const MOST_ROLLOUTS = 1000;

/** Older rollouts of the same apps take in no more gateways: a new one gets the newer version, once. */
export async function endOlder(
  { storage }: FleetContext,
  request: Request,
  { product, rollout }: StoredRollout,
): Promise<void> {
  const apps = new Set(rollout.artifacts.map(({ app }: Artifact) => app));
  for (const { rollout: older } of await storage.listRollouts(product, MOST_ROLLOUTS)) {
    const isOther = older.id !== rollout.id && older.artifacts.some(({ app }) => apps.has(app));
    if (!isOther || older.policy.follow === undefined) continue;
    const audit = { ...request.audit('rollout.finish', older.id), after: `rollout ${rollout.id} began` };
    await storage.changeRollout({ product, id: older.id }, (now) => finish(now), audit);
  }
}
