/** What a gateway's own request changes in the rollouts that it is in, whatever database they are in. */
import type { FleetEvent, Learnt } from '../../fleet/gateway/learn.ts';
import { moveMember, type Pair } from '../../fleet/rollout/move.ts';
import { showCommand } from '../../fleet/rollout/offer.ts';
import { applyApps, applyLooping, applyStatus, applyTaking } from '../../fleet/rollout/report.ts';
import { commandId, type Member, type Rollout } from '../../fleet/rollout/rollout.ts';
import { decodeMemberState, decodeNames, decodeRollout } from './fleet-rows.ts';

export interface StoredPair extends Pair {
  readonly deviceId: number;
}

export const COMMAND_ALIAS = 'engine_fetch';
const INTERVAL_ALIAS = 'update_interval';
/** The aliases that the fleet looks at; writes to any other one cost nothing more. */
const ALIASES: ReadonlySet<string> = new Set([
  COMMAND_ALIAS,
  INTERVAL_ALIAS,
  'fetch_status',
  'engine_report',
  'device_info',
  'usage_report',
]);

export function isWatched(alias: string): boolean {
  return ALIASES.has(alias);
}

/** Whether the value before a write to this alias is needed. */
export function usesBefore(alias: string): boolean {
  return alias === COMMAND_ALIAS || alias === INTERVAL_ALIAS;
}

export interface News {
  readonly learnt: Learnt;
  /** Events that were not known before: one that is reported again changes nothing. */
  readonly fresh: readonly FleetEvent[];
  readonly at: number;
}

/** Whether a rollout might be affected. */
export function concernsRollouts({ learnt: { status, taken, hasApps } }: News): boolean {
  return status !== undefined || taken !== undefined || hasApps === true;
}

/** A gateway in a rollout, after what the gateway has written. */
export function applyNews(pair: Pair, { learnt, fresh, at }: News): Pair {
  const { status, taken, hasApps, knowledge } = learnt;
  const isEnd = status?.outcome !== undefined;
  const isNews = !isEnd || fresh.some(({ kind }) => kind === 'update');
  let next = pair;
  if (taken !== undefined) next = applyTaking(next, idOf(taken), at);
  if (status !== undefined && isNews) next = applyStatus(next, status, at);
  if (hasApps === true) next = applyApps(next, knowledge.apps, at);
  for (const { kind, app = '', version = '', text } of fresh)
    if (kind === 'looping') next = applyLooping(next, { app, version, text }, at);
  return next;
}

/** The `id` of a command's text; empty if it has none. */
function idOf(command: string): string {
  return /^\{"id":"([A-Za-z0-9_.:-]{1,80})"/.exec(command)?.[1] ?? '';
}

/**
 * The pairs in the order in which they decide what is shown: first one whose command is already shown, before another
 * may take its place, then the oldest first. `newestFirst`: the order in which they are stored.
 */
export function inDecidingOrder<T extends Pair>(newestFirst: readonly T[]): T[] {
  const pairs = [...newestFirst].reverse();
  const isOffered = ({ member }: Pair): boolean => member.state === 'offered';
  return [...pairs.filter(isOffered), ...pairs.filter((one) => !isOffered(one))];
}

interface Gateway {
  readonly at: number;
  readonly hold: string | undefined;
  readonly gweVersion: string | undefined;
}

/** The pair after the device has read the alias, and what the alias shows then. */
export function decideOne(pair: Pair, text: string, { at, hold, gweVersion }: Gateway): [Pair, string] {
  const isOurs = idOf(text) === commandId(pair.rollout, pair.member);
  // Of an attempt that has ended without the gateway: it was away, and is not to find it now.
  const isLeft = idOf(text).startsWith(`${pair.rollout.id}.`);
  // Somebody has written another command in its place.
  if (pair.member.state === 'offered' && !isOurs && !isLeft)
    return [moveMember(pair, { event: 'supersede', at }), text];
  const { pair: next, command } = showCommand(pair, {
    at,
    hasCommand: text !== '' && !isLeft,
    hold,
    gweVersion,
  });
  if (command !== undefined) return [next, command];
  return [next, isLeft ? '' : text];
}

/** The member and its rollout, from a row of `fleet_member` with the rollout's `body` and the device's `serial`. */
export function toPair(row: Record<string, unknown>): StoredPair {
  return { deviceId: Number(row.device), rollout: decodeRollout(row.body), member: toMember(row) };
}

export function toMember(row: Record<string, unknown>): Member {
  return {
    serial: String(row.serial),
    wave: Number(row.wave),
    state: decodeMemberState(row.state),
    since: Number(row.since),
    heardAt: Number(row.heard_at),
    intervalS: Number(row.interval_s),
    attempt: Number(row.attempt),
    notBefore: Number(row.not_before),
    good: decodeNames(row.good),
    shown: decodeNames(row.shown),
    ...(row.code === null ? {} : { code: String(row.code) }),
    ...(row.reason === null ? {} : { reason: String(row.reason) }),
  };
}

/** The rollout after the device has been removed, which is then not counted anywhere. */
export function withoutMember({ rollout, member }: Pair): Rollout {
  const waves = rollout.waves.map((wave, index) => {
    if (index !== member.wave) return wave;
    return { ...wave, counts: { ...wave.counts, [member.state]: wave.counts[member.state] - 1 } };
  });
  return { ...rollout, waves };
}

export function isSame(one: Rollout | Member, other: Rollout | Member): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}
