/**
 * Deadlines of the members of rollouts, whatever database they are in. A pass over the members goes on for several
 * ticks where there are many: so no tick takes long, and nobody waits for a rollout's row for longer than one part.
 */
import type { MemberState } from '../../fleet/rollout/member-states.ts';
import type { Pair } from '../../fleet/rollout/move.ts';
import { noteHeard } from '../../fleet/rollout/report.ts';
import { countIn, type Member, type Rollout } from '../../fleet/rollout/rollout.ts';
import { tickMember } from '../../fleet/rollout/tick.ts';

/** The states that end by a deadline. */
const DUE_STATES: readonly MemberState[] = [
  'waiting',
  'offered',
  'taken',
  'working',
  'deferred',
  'installed',
];
/** How often a pass begins: deadlines are minutes at least. */
const PASS_EVERY_S = 60;
/** How many members are changed in one transaction. */
export const MOST_TOGETHER = 500;
/** How many parts that have a next one a tick looks at. */
const MOST_PARTS = 5;

/** Members of one rollout in one state, from the device after `after` on. */
export interface Part {
  readonly rollout: Rollout;
  readonly state: MemberState;
  readonly after: number;
}

export interface MemberTable {
  /** Rollouts that are not over, and aborted ones. */
  rollouts(): Promise<readonly Rollout[]>;
  /**
   * Devices whose deadline may be over, at most MOST_TOGETHER, in the order of their ids; `next` is where the next
   * part begins. Locks nothing.
   */
  look(part: Part, now: number): Promise<{ due: readonly number[]; next: number | undefined }>;
  /** In one transaction: moves those of these devices whose deadline is over. */
  move(part: Part, due: readonly number[], now: number): Promise<void>;
}

/** Returns what is done at each tick. */
export function createMemberPass(table: MemberTable): (now: number) => Promise<void> {
  let begunAt = 0;
  let left: Part[] = [];
  return async (now) => {
    if (left.length === 0 && Math.abs(now - begunAt) >= PASS_EVERY_S) {
      begunAt = now;
      left = (await table.rollouts()).flatMap((rollout) => partsOf(rollout, now));
    }
    for (let count = 0; count < MOST_PARTS; ) {
      const part = left.shift();
      if (part === undefined) return;
      const { due, next } = await table.look(part, now);
      if (next !== undefined) {
        left.unshift({ ...part, after: next });
        count++;
      }
      if (due.length > 0) await table.move(part, due, now);
    }
  };
}

function partsOf(rollout: Rollout, now: number): Part[] {
  const states = DUE_STATES.filter((state) => countIn(rollout.waves, [state]) > 0);
  return states
    .filter((state) => (state !== 'waiting' && state !== 'offered') || mayBeUnreached(rollout, now))
    .map((state) => ({ rollout, state, after: 0 }));
}

/** Before they have taken the command, members end only with the rollout, or when they had time to come and read. */
function mayBeUnreached({ state, waves, policy }: Rollout, now: number): boolean {
  if (state === 'aborted') return true;
  if (state !== 'running' && state !== 'soaking') return false;
  return waves.some(({ openedAt }) => openedAt > 0 && now > openedAt + policy.reachS);
}

/** The rollout after its members were ticked, and those of them that moved. `seenAt`: their device's last request. */
export function tickTogether<T extends { readonly member: Member; readonly seenAt: number }>(
  before: Rollout,
  members: readonly T[],
  now: number,
): { rollout: Rollout; moved: readonly T[] } {
  let rollout = before;
  const moved: T[] = [];
  for (const one of members) {
    const ticked: Pair = tickMember({ rollout, member: noteHeard(one.member, one.seenAt) }, now);
    if (ticked.member.state === one.member.state) continue;
    rollout = ticked.rollout;
    moved.push({ ...one, member: ticked.member });
  }
  return { rollout, moved };
}
