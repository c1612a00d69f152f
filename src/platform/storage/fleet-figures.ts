/** The parts of the fleet's figures that are the same for every database. */
import { expectedBy } from '../../fleet/gateway/learn.ts';
import { MEMBER_STATES } from '../../fleet/rollout/member-states.ts';
import { decodeRollout } from './fleet-rows.ts';

/** How many versions are named (the most frequent), and how many rollouts (the newest). */
export const [MOST_APPS, MOST_ROLLOUTS] = [50, 50];

/**
 * What `expectedBy` assumes for a gateway that has not reported its interval, and adds for every gateway: for an SQL
 * statement that computes the same.
 */
export function silence(): { intervalS: number; slackS: number } {
  const slackS = expectedBy(1, 0) - 1;
  return { intervalS: (expectedBy(1, undefined) - 1 - slackS) / 2, slackS };
}

/** Members of rollouts by state, from the stored rollouts. */
export function countMembers(
  bodies: readonly unknown[],
): { rollout: string; state: string; count: number }[] {
  return bodies.flatMap((body) => {
    const { id, waves } = decodeRollout(body);
    return MEMBER_STATES.map((state) => {
      return { rollout: id, state, count: waves.reduce((sum, { counts }) => sum + counts[state], 0) };
    });
  });
}
