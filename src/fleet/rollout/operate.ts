/**
 * What people do with a rollout. None of it touches a member, so a pause changes one row, however many members there
 * are.
 */
import { moveRollout, settle } from './move.ts';
import { countIn, type Rollout, tallyOf } from './rollout.ts';
import { badOf } from './stop-rule.ts';
import { beginFirstWave, nextWave } from './tick.ts';

interface Act {
  /** The name of the person. */
  readonly by: string;
  /** Unix seconds. */
  readonly at: number;
  readonly reason?: string;
}

/** The rollout after the act, or one line that says why it is refused and what is possible. */
export type Result = { readonly rollout: Rollout } | { readonly refusal: string };

function refuse(rollout: Rollout, verb: string): Result {
  return { refusal: `cannot ${verb} rollout '${rollout.id}': it is ${rollout.state}` };
}

/**
 * A command whose signature has ended is refused by every gateway that wants one, and the server cannot sign another
 * (src/protocol/README.md, "Signed commands").
 */
function refuseEnded(rollout: Rollout, verb: string, at: number): Result | undefined {
  const until = Number(rollout.policy.signed?.until ?? Number.POSITIVE_INFINITY);
  if (at < until) return undefined;
  const end = new Date(until * 1000).toISOString().replace('.000', '');
  return {
    refusal: `cannot ${verb} rollout '${rollout.id}': the signature of its command ended at ${end}, and gateways that want one would refuse it; start another rollout with --sign-key FILE and a later --until`,
  };
}

/** Where a gateway still waits to be shown the command. */
function refuseEndedIfWaiting(rollout: Rollout, verb: string, at: number): Result | undefined {
  return countIn(rollout.waves, ['waiting']) === 0 ? undefined : refuseEnded(rollout, verb, at);
}

/** Ends the draft: the rollout then waits for a second person where it needs one, otherwise for its patches. */
export function submit(rollout: Rollout, act: Act): Result {
  const moved = moveRollout(rollout, { ...act, event: rollout.needsApproval ? 'submit' : 'start' });
  return moved === undefined ? refuse(rollout, 'start') : { rollout: moved };
}

export function approve(rollout: Rollout, act: Act): Result {
  if (rollout.state === 'awaiting-approval' && act.by === rollout.author)
    return { refusal: `cannot approve rollout '${rollout.id}': ${act.by} made it, expected another person` };
  const moved = moveRollout(rollout, { ...act, event: 'approve' });
  if (moved === undefined) return refuse(rollout, 'approve');
  return refuseEnded(rollout, 'approve', act.at) ?? { rollout: moved };
}

/** Opens the first wave: the patches are there, or the time to wait for them is over. */
export function finishPreparing(rollout: Rollout, act: Act): Result {
  const begun = beginFirstWave(rollout, act);
  return begun === undefined ? refuse(rollout, 'open') : { rollout: begun };
}

export function pause(rollout: Rollout, act: Act): Result {
  if (rollout.state === 'paused') return { rollout };
  const moved = moveRollout(rollout, { ...act, event: 'pause' });
  return moved === undefined ? refuse(rollout, 'pause') : { rollout: moved };
}

/**
 * After a stop by the rule, the person has seen the numbers, and the rule stops the rollout again when there are more
 * bad members. After any other pause, the rule is applied to what happened meanwhile.
 */
export function resume(rollout: Rollout, act: Act): Result {
  const moved = moveRollout(rollout, { ...act, event: 'resume' });
  if (moved === undefined) return refuse(rollout, 'resume');
  const ended = refuseEndedIfWaiting(rollout, 'resume', act.at);
  if (ended !== undefined) return ended;
  return { rollout: rollout.by === 'rule' ? acceptBad(moved) : settle(moved, act.at) };
}

/** The answer to `held`: go on with the next wave in spite of what this one lacks. */
export function goOn(rollout: Rollout, act: Act): Result {
  if (rollout.state !== 'held') return refuse(rollout, 'go on with');
  const ended = refuseEndedIfWaiting(rollout, 'go on with', act.at);
  if (ended !== undefined) return ended;
  return { rollout: acceptBad(nextWave(rollout, act)) };
}

function acceptBad(rollout: Rollout): Rollout {
  return { ...rollout, acceptedBad: badOf(tallyOf(rollout.waves)) };
}

/** Opens the wave again for members that a person put back to `waiting`. */
export function reopen(rollout: Rollout, act: Act): Result {
  const ended = refuseEnded(rollout, 'retry', act.at);
  if (ended !== undefined) return ended;
  if (rollout.state === 'running') return { rollout };
  const moved = moveRollout(rollout, { ...act, event: 'reopened' });
  return moved === undefined ? refuse(rollout, 'retry') : { rollout: settle(moved, act.at) };
}

/** Final. A gateway that has taken the command still carries it out, and is counted. */
export function abort(rollout: Rollout, act: Act): Result {
  if (rollout.state === 'aborted') return { rollout };
  const moved = moveRollout(rollout, { ...act, event: 'abort' });
  return moved === undefined ? refuse(rollout, 'abort') : { rollout: moved };
}

/** From now on no more gateways are taken in; the rollout ends when those that are in it have. */
export function finish(rollout: Rollout): Result {
  const { follow, ...policy } = rollout.policy;
  if (follow !== undefined) return { rollout: { ...rollout, policy } };
  return { refusal: `cannot finish rollout '${rollout.id}': it follows no gateways, and ends by itself` };
}
