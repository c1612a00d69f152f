/** All rollouts, the newest first. */
import { useConsole, useLoaded, useMay } from '../base/context.ts';
import { ROLLOUTS } from '../base/replies.ts';
import { hrefOf, NEW } from '../base/route.ts';
import { words } from '../base/words.ts';
import { RolloutCard } from '../parts/rollout-card.tsx';
import { Unread } from '../parts/unread.tsx';

export function RolloutsPage({ say }: { say: (text: string) => void }) {
  const { api, product } = useConsole();
  const may = useMay();
  const path = `/products/${encodeURIComponent(product)}/rollouts?limit=100`;
  const { value, problem } = useLoaded(path, () => api.read(path, ROLLOUTS));
  return (
    <>
      {may('rollout.plan') && (
        <p>
          <a href={hrefOf({ product, page: 'rollouts', item: NEW })}>{words.rolloutPage.newOne}</a>
        </p>
      )}
      <Unread problem={problem} isOld={value !== undefined} />
      {value?.rollouts.length === 0 && <p>{words.rolloutPage.none}</p>}
      <ul class="cards">
        {value?.rollouts.map((rollout) => (
          <RolloutCard key={rollout.id} rollout={rollout} say={say} />
        ))}
      </ul>
    </>
  );
}
