/**
 * Whether a rollout's command is shown to a gateway that reads its command: decided at that moment, never written
 * ahead.
 */

import { isOpen } from '../../base/time/windows.ts';
import { AGENT_OLD, agentObstacle, knowsTerms, termsOf } from './agent-knows.ts';
import { IN_FLIGHT } from './member-states.ts';
import { moveMember, type Pair } from './move.ts';
import { commandId, countIn, type Rollout } from './rollout.ts';

/** What is taken into account, beside the rollout, at the moment of reading. */
interface Reading {
  /** Unix seconds. */
  readonly at: number;
  /** There is a command that somebody wrote by hand: it is never overwritten. */
  readonly hasCommand: boolean;
  /** Why no rollout may touch the gateway. */
  readonly hold?: string | undefined;
  /** The version of gwe on it, as it reported. */
  readonly gweVersion?: string | undefined;
}

/** Why nothing is shown to this gateway now; `undefined` where the command is shown. */
export function findObstacle({ rollout, member }: Pair, reading: Reading): string | undefined {
  if (rollout.state !== 'running') return `the rollout is ${rollout.state}`;
  if (member.state === 'offered') return reading.hasCommand ? 'another command is there' : undefined;
  if (member.state !== 'waiting') return `the gateway is ${member.state}`;
  if (member.wave > rollout.wave) return `wave ${member.wave + 1} has not begun`;
  if (reading.hasCommand) return 'another command is there';
  if (reading.hold !== undefined) return `the gateway is held: ${reading.hold}`;
  if (reading.at < member.notBefore) return 'the next try is later';
  if (countIn(rollout.waves, IN_FLIGHT) >= rollout.policy.concurrency)
    return `${rollout.policy.concurrency} gateways are under way`;
  return agentObstacle(rollout, reading.gweVersion, isItsTime(rollout, reading.at));
}

function isItsTime({ policy }: Rollout, at: number): boolean {
  return at >= (policy.notBefore ?? 0) && isOpen(policy.windows, at);
}

interface Shown {
  readonly pair: Pair;
  /** The text of `engine_fetch`; `undefined` where the rollout shows nothing. */
  readonly command?: string | undefined;
}

/**
 * What is shown to a gateway that reads now. This is where a halt takes effect: a command that was offered and not
 * taken is recalled or withdrawn. A gateway that reads again before it took the command is shown the same one.
 */
export function showCommand(pair: Pair, reading: Reading): Shown {
  const { rollout, member } = pair;
  if (member.state === 'offered') {
    const isOver = rollout.state === 'aborted' || rollout.state === 'done';
    const event = isOver ? 'withdraw' : rollout.state === 'running' ? undefined : 'recall';
    if (event !== undefined) return { pair: moveMember(pair, { event, at: reading.at }) };
  }
  if (findObstacle(pair, reading) !== undefined) return { pair: noteAgent(pair, reading) };
  if (member.state === 'offered') return { pair, command: renderCommand(pair, reading) };
  const learnt = { code: undefined, reason: undefined };
  const offered = moveMember(pair, { event: 'offer', at: reading.at, learnt });
  return { pair: offered, command: renderCommand(offered, reading) };
}

/**
 * Notes on the member that its agent is the reason why nothing is shown, so that nobody has to guess what it waits
 * for.
 */
function noteAgent(pair: Pair, reading: Reading): Pair {
  const { rollout, member } = pair;
  const isNext = rollout.state === 'running' && member.state === 'waiting' && member.wave <= rollout.wave;
  if (!isNext) return pair;
  const reason = agentObstacle(rollout, reading.gweVersion, isItsTime(rollout, reading.at));
  if (reason === undefined || (member.code === AGENT_OLD && member.reason === reason)) return pair;
  return { rollout, member: { ...member, code: AGENT_OLD, reason } };
}

function renderCommand({ rollout, member }: Pair, { gweVersion }: Reading): string {
  const install = rollout.artifacts.map(({ app, version }) => ({ name: `${app}.v${version}.tar.gz` }));
  const terms = knowsTerms(gweVersion) ? termsOf(rollout) : {};
  const { signed } = rollout.policy;
  return JSON.stringify({
    id: commandId(rollout, member),
    install,
    ...terms,
    ...(signed === undefined ? {} : { signed }),
  });
}
