/**
 * The stop rules of two other systems, on the same gateways in the same order. hawkBit: `error / total > threshold` of one
 * group (ThresholdRolloutGroupErrorCondition); the groups are our waves. AWS IoT Jobs: AbortCriteria, failures of type
 * ALL among the executions that have ended, from MinNumberOfExecutedThings on. Silence ends an execution of AWS by its
 * timeout, which is set to our deadline here; for hawkBit it is no error.
 */
import type { Fate } from './scenarios.ts';

const LIMIT = 0.05;
const LEAST_EXECUTED = 20;

/** Counts at one moment. */
export interface Reach {
  /** Gateways that had taken the command. */
  readonly commanded: number;
  readonly bad: number;
}

export interface OtherRules {
  /** A gateway of this wave has taken the command, and this became of it. */
  took(wave: number, fate: Fate): void;
  /** Gateways that took it before are noticed to be silent. */
  silenced(count: number): void;
  now(): Reach;
  /** Where each would have stopped; undefined if not so far. */
  readonly hawkbit: Reach | undefined;
  readonly aws: Reach | undefined;
}

/** `sizes`: gateways of each wave. */
export function createOtherRules(sizes: readonly number[]): OtherRules {
  const errors = sizes.map(() => 0);
  let [commanded, executed, failures] = [0, 0, 0];
  let [hawkbit, aws]: (Reach | undefined)[] = [];
  const now = (): Reach => ({ commanded, bad: failures });
  const look = (): void => {
    if (errors.some((count, wave) => count / (sizes[wave] ?? 0) > LIMIT)) hawkbit ??= now();
    if (executed >= LEAST_EXECUTED && failures / executed >= LIMIT) aws ??= now();
  };
  return {
    took(wave, fate) {
      commanded++;
      if (fate !== 'silent') executed++;
      if (fate === 'fails') {
        failures++;
        errors[wave] = (errors[wave] ?? 0) + 1;
      }
      look();
    },
    silenced(count) {
      executed += count;
      failures += count;
      look();
    },
    now,
    get hawkbit() {
      return hawkbit;
    },
    get aws() {
      return aws;
    },
  };
}
