/** A rollout as the API shows it. */
import { AGENT_OLD } from '../fleet/rollout/agent-knows.ts';
import { explain, heldBackUntil } from '../fleet/rollout/explain.ts';
import { type Member, type Rollout, tallyOf } from '../fleet/rollout/rollout.ts';
import type { StoredRollout } from '../platform/storage/fleet-storage.ts';

export function showRollout(
  { name, product, revision, rollout }: StoredRollout,
  nowS: number,
): Record<string, unknown> {
  const { waitsFor, until } = explain(rollout, nowS);
  const { id, artifacts, policy, state, wave, author, startedAt, since, by, reason } = rollout;
  const waves = rollout.waves.map(({ openedAt, counts }) => ({ openedAt, counts }));
  const tally = tallyOf(rollout.waves);
  const about = {
    id,
    name,
    product,
    revision,
    artifacts,
    policy,
    state,
    author,
    startedAt,
    since,
    by,
    reason,
  };
  const fetched = rollout.fetched ?? null;
  return { ...about, wave: wave + 1, waves, tally, fetched, waitsFor, until: until ?? null };
}

interface Together {
  code: string;
  gateways: number;
  /** The first serial numbers. */
  serials: string[];
  reason: string;
  /** Unix seconds at which the last of them stops waiting. */
  until: number | null;
}

const MOST_SERIALS = 10;

/**
 * Groups members by outcome and reason: those that failed, and those to which nothing is shown because of their
 * agent.
 */
export class Reasons {
  readonly #rollout: Rollout;
  readonly #nowS: number;
  readonly #failures = new Map<string, Together>();
  readonly #heldBack = new Map<string, Together>();

  constructor(rollout: Rollout, nowS: number) {
    this.#rollout = rollout;
    this.#nowS = nowS;
  }

  add(member: Member): void {
    const { state, code = state, reason = '' } = member;
    if (state === 'failed' || state === 'silent') addTo(this.#failures, member, { code, reason });
    if (state !== 'waiting' || code !== AGENT_OLD) return;
    const until = heldBackUntil(this.#rollout, member, this.#nowS);
    addTo(this.#heldBack, member, { code, reason, until });
  }

  show(): { failures: unknown[]; heldBack: unknown[] } {
    const failures = [...this.#failures.values()].map(({ until: _none, ...failure }) => failure);
    return { failures, heldBack: [...this.#heldBack.values()] };
  }
}

function addTo(
  groups: Map<string, Together>,
  { serial }: Member,
  about: { code: string; reason: string; until?: number | undefined },
): void {
  const { code, reason, until = null } = about;
  // Failures are grouped by code; members that are held back, by the version of gwe that causes it.
  const key = code === AGENT_OLD ? reason : code;
  const found = groups.get(key) ?? { code, gateways: 0, serials: [], reason, until };
  const serials = found.serials.length < MOST_SERIALS ? [...found.serials, serial] : found.serials;
  const latest = until === null || found.until === null ? null : Math.max(found.until, until);
  groups.set(key, { ...found, gateways: found.gateways + 1, serials, until: latest });
}
