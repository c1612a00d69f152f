/** A rollout that waits for its patches begins when the last of them has ended. */
import { finishPreparing } from '../../fleet/rollout/operate.ts';
import type { Rollout } from '../../fleet/rollout/rollout.ts';
import type { StoredRollout } from '../../platform/storage/fleet-storage.ts';
import type { Storage } from '../../platform/storage/storage.ts';
import { jobsOf } from './patch-jobs.ts';

/** How many rollouts of a product are looked at, the newest ones. */
const MOST_ROLLOUTS = 100;

export async function hasOpenPatches(
  storage: Storage,
  product: string,
  { artifacts }: Pick<Rollout, 'artifacts'>,
): Promise<boolean> {
  return (await jobsOf(storage, product, artifacts)).some(({ state }) => state === 'open');
}

export async function beginPrepared(storage: Storage, product: string, at: number): Promise<void> {
  for (const { rollout } of await storage.listRollouts(product, MOST_ROLLOUTS))
    if (rollout.state === 'preparing') await beginIfPrepared(storage, { product, rollout }, at);
}

/** A rollout whose patches are not ready, or that has begun meanwhile, stays as it is. */
export async function beginIfPrepared(
  storage: Storage,
  { product, rollout }: Pick<StoredRollout, 'product' | 'rollout'>,
  at: number,
): Promise<void> {
  if (rollout.state !== 'preparing' || (await hasOpenPatches(storage, product, rollout))) return;
  const { id } = rollout;
  const audit = { at, actor: 'rule', request: '', action: 'rollout.prepared', target: id };
  await storage.changeRollout({ product, id }, (now) => finishPreparing(now, { by: 'rule', at }), {
    ...audit,
    before: '',
    after: '',
  });
}
