/** When a rollout stops by itself, and when a wave is good enough for the next. */

/** The results of a wave or a whole rollout. */
export interface Tally {
  readonly succeeded: number;
  readonly failed: number;
  readonly silent: number;
  /** All members except those out of reach. */
  readonly reachable: number;
}

export interface Limits {
  /** Share of gateways that may fail or fall silent, 0 to 1. */
  readonly limit: number;
  /** Share of the reachable gateways that must succeed, 0 to 1. */
  readonly need: number;
  /** Whether a single gateway that could not go back stops the rollout. */
  readonly stopsAtFailedRollback: boolean;
}

export interface Stop {
  readonly rule: 'none-good' | 'above-limit' | 'rollback-failed';
  /** One line with the numbers. */
  readonly text: string;
}

/**
 * A quantile of the normal distribution: for a rollout exactly at its limit, one look in a hundred stops it wrongly.
 */
const Z = 2.33;
/** Fewer bad gateways than this prove nothing. */
const FEWEST_BAD = 3;
/** How many gateways of a wave must have ended, if that many are reachable. */
const FEWEST_ENDED = 20;

/** The lower bound of Wilson's interval for `bad` out of `ended`; 0 if none has ended. */
export function wilsonLowerBound(bad: number, ended: number): number {
  if (ended === 0) return 0;
  const share = bad / ended;
  const square = Z * Z;
  const spread = Z * Math.sqrt((share * (1 - share)) / ended + square / (4 * ended * ended));
  return Math.max(0, (share + square / (2 * ended) - spread) / (1 + square / ended));
}

export function badOf({ failed, silent }: Pick<Tally, 'failed' | 'silent'>): number {
  return failed + silent;
}

function endedOf(tally: Tally): number {
  return tally.succeeded + badOf(tally);
}

/** Why a rollout with these numbers is stopped, or `undefined`. `what` says what the numbers are about. */
export function findStop(tally: Tally, limits: Limits, what: string): Stop | undefined {
  const [bad, ended] = [badOf(tally), endedOf(tally)];
  const counted = `${tally.failed} failed and ${tally.silent} silent of ${ended} that ended (${what})`;
  if (bad < FEWEST_BAD) return undefined;
  if (tally.succeeded === 0) return { rule: 'none-good', text: `${counted}: none has succeeded` };
  const atLeast = wilsonLowerBound(bad, ended);
  if (atLeast <= limits.limit) return undefined;
  const text = `${counted}: ${percent(atLeast)} or more are bad, the limit is ${percent(limits.limit)}`;
  return { rule: 'above-limit', text };
}

export function findRollbackStop(rollbackFailures: number, limits: Limits): Stop | undefined {
  if (rollbackFailures === 0 || !limits.stopsAtFailedRollback) return undefined;
  const text = `${rollbackFailures} could not roll back to the previous version`;
  return { rule: 'rollback-failed', text };
}

/** What a wave lacks at the end of its soak, in a few words, or `undefined` where the next wave may begin. */
export function findLack(tally: Tally, limits: Limits): string | undefined {
  const [bad, ended] = [badOf(tally), endedOf(tally)];
  const fewest = Math.min(FEWEST_ENDED, tally.reachable);
  if (ended < fewest) return `${ended} gateways have ended, ${fewest} are needed`;
  if (ended > 0 && bad / ended > limits.limit)
    return `${percent(bad / ended)} are bad (${bad} of ${ended}), the limit is ${percent(limits.limit)}`;
  const share = tally.reachable === 0 ? 1 : tally.succeeded / tally.reachable;
  if (share >= limits.need) return undefined;
  return `${percent(share)} have succeeded (${tally.succeeded} of ${tally.reachable}), ${percent(limits.need)} are needed`;
}

function percent(share: number): string {
  return `${Math.round(share * 1000) / 10} %`;
}
