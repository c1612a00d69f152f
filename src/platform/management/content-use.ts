/** Whether content may be deleted: what a rollout needs, or a gateway in order to go back, is kept. */
import { matchArtifactName } from '../../artifact/name.ts';
import type { Storage } from '../storage/storage.ts';

const MOST_ROLLOUTS = 1000;
const MOST_NAMED = 3;

/** What needs the content, in words; `undefined` where nothing does. */
export async function findContentUse(
  storage: Pick<Storage, 'listRollouts' | 'listGateways'>,
  product: string,
  id: string,
): Promise<string | undefined> {
  const artifact = matchArtifactName(id);
  if (artifact === undefined) return undefined;
  const { name, version } = artifact;
  const rollouts = await storage.listRollouts(product, MOST_ROLLOUTS);
  const open = rollouts.find(
    ({ rollout: { state, artifacts } }) =>
      state !== 'done' &&
      state !== 'aborted' &&
      artifacts.some((one) => one.app === name && one.version === version),
  );
  if (open !== undefined) return `rollout '${open.rollout.id}' (${open.rollout.state}) needs it`;
  const serials: string[] = [];
  let count = 0;
  for (let after: string | undefined; ; ) {
    const page = await storage.listGateways(product, {
      after,
      limit: 1000,
      chosen: ({ apps }) => {
        const app = apps.get(name);
        return app !== undefined && (app.version === version || app.previous === version);
      },
    });
    count += page.items.length;
    for (const { serial } of page.items) if (serials.length < MOST_NAMED) serials.push(serial);
    if (page.next === undefined) break;
    after = page.next;
  }
  if (count === 0) return undefined;
  const more = count > serials.length ? ', ...' : '';
  return `${count} gateways run it or may go back to it (${serials.join(', ')}${more})`;
}
