/**
 * Which parts of a command a gateway's agent knows: an agent ignores a key that it does not know, and installs at
 * once.
 */
import { renderWindows } from '../../base/time/windows.ts';
import { compareVersionOrder } from '../filter/version-order.ts';
import type { Member, Rollout } from './rollout.ts';

/** The first gwe that knows them (src/protocol/README.md, "Later and together"). */
const FIRST_THAT_KNOWS = '2.1.0';

/** The code of a member to which nothing is shown because its agent would install at once. */
export const AGENT_OLD = 'AGENT_OLD';

/** A gateway that has not reported its version of gwe is not assumed to know anything. */
export function knowsTerms(gweVersion: string | undefined): boolean {
  return gweVersion !== undefined && compareVersionOrder(gweVersion, FIRST_THAT_KNOWS) >= 0;
}

/** Why the gateway's agent keeps it from being shown the command now; `undefined` where it does not. */
export function agentObstacle(
  rollout: Rollout,
  gweVersion: string | undefined,
  isItsTime: boolean,
): string | undefined {
  if (knowsTerms(gweVersion)) return undefined;
  const found = gweVersion === undefined ? 'its gwe has not said its version' : `its gwe is ${gweVersion}`;
  const expected = `expected ${FIRST_THAT_KNOWS} or later`;
  if (isTogether(rollout)) return `${found} and may not install apps together: ${expected}`;
  return isItsTime ? undefined : `${found} and may install at once: shown the command in its time`;
}

/** Whether only another version of gwe lets the member go on. */
export function isHeldBackForGood(rollout: Rollout, { state, code }: Member): boolean {
  return state === 'waiting' && code === AGENT_OLD && isTogether(rollout);
}

/** The keys beside `install` in the command of an agent that knows them; the same at each reading. */
export function termsOf(rollout: Rollout): Record<string, unknown> {
  const { notBefore, windows } = rollout.policy;
  return {
    ...(notBefore === undefined ? {} : { not_before: notBefore }),
    ...(windows.ranges.length > 0 ? { window: renderWindows(windows) } : {}),
    ...(isTogether(rollout) ? { together: true } : {}),
  };
}

function isTogether({ policy, artifacts }: Rollout): boolean {
  return policy.together === true && artifacts.length > 1;
}
