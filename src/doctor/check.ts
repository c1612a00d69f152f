/** What a check of `gwe doctor` is, and how all of them are carried out. */
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';

/** `fail` would stop an update; `warn` is worth a look. */
export type Status = 'ok' | 'warn' | 'fail';

export interface Finding {
  status: Status;
  finding: string;
  /** What to do about it, in words. */
  mend?: string;
  /** A command that does it, as a shell takes it. */
  run?: string;
}

export interface Check {
  /** Short and stable: scripts rely on it. */
  id: string;
  /** An error thrown is a `fail`; its text then holds the remedy. */
  run(): Finding | Promise<Finding>;
}

export type Result = Finding & { id: string };

/** Nothing hangs: after this a check has failed. */
const DEADLINE_MS = 10_000;

/** Carries all of them out at once, each within `deadlineMs`; the results are in the order of `checks`. */
export function runChecks(
  checks: readonly Check[],
  clock: Clock,
  deadlineMs: number = DEADLINE_MS,
): Promise<Result[]> {
  return Promise.all(checks.map((check) => runCheck(check, clock, deadlineMs)));
}

async function runCheck(check: Check, clock: Clock, deadlineMs: number): Promise<Result> {
  const done = new AbortController();
  const late = clock.sleep(deadlineMs, done.signal).then(
    (): Finding => ({
      status: 'fail',
      finding: `no answer within ${deadlineMs / 1000} s`,
      mend: 'this check hangs; see whether the network or the disk does',
    }),
  );
  try {
    return { id: check.id, ...(await Promise.race([started(check), late])) };
  } catch (error) {
    return { id: check.id, status: 'fail', finding: describeError(error) };
  } finally {
    done.abort();
  }
}

/** A check that throws at once is one that rejects. */
async function started(check: Check): Promise<Finding> {
  return check.run();
}
