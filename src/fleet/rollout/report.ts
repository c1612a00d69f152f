/** Turns what a gateway reports about its command into steps of its member. */
import { ERROR_CODES } from '../../base/errors.ts';
import type { StatusReport } from '../gateway/fetch-status.ts';
import type { AppRecord } from '../gateway/record.ts';
import type { MemberState } from './member-states.ts';
import { moveMember, type Pair, settle } from './move.ts';
import { commandId, type Member, type Rollout } from './rollout.ts';

/**
 * A version that went back, or keeps crashing, up to this long after the start of a rollout still counts as its
 * failure.
 */
const LATE_FAILURE_S = 14 * 86_400;

/** The gateway has emptied the alias that showed it a command; `command` is the id of that command. */
export function applyTaking(pair: Pair, command: string, at: number): Pair {
  return command === commandId(pair.rollout, pair.member) ? moveMember(pair, { event: 'take', at }) : pair;
}

const HAS_COMMAND: ReadonlySet<MemberState> = new Set([
  'taken',
  'working',
  'deferred',
  'silent',
  'installed',
]);

/** Applies a `fetch_status`, in whatever order and however often they come. */
export function applyStatus(pair: Pair, status: StatusReport, at: number): Pair {
  const { rollout, member } = pair;
  const isAsked = rollout.artifacts.some(
    ({ app, version }) => app === status.app && version === status.version,
  );
  const isNamed = status.command !== undefined && status.command === commandId(rollout, member);
  // Agents that do not name the command: what they have taken is what they report about.
  const isMeant = isNamed || (status.command === undefined && isAsked && HAS_COMMAND.has(member.state));
  if (member.state === 'succeeded') return isAsked ? applyLate(pair, status, at) : pair;
  if (!isMeant) return pair;
  // A report about the command says that it was taken, whatever became of the request that emptied the alias.
  const taken = moveMember(pair, { event: 'take', at });
  const { outcome } = status;
  const next =
    outcome === undefined
      ? applyProgress(taken, status, at)
      : outcome === 'installed' || outcome === 'unchanged'
        ? applyGood(countFetched(taken, status), status.app, at)
        : applyFailure(taken, status, at);
  return { ...next, rollout: settle(next.rollout, at) };
}

function applyProgress(pair: Pair, { isWaiting, code, reason }: StatusReport, at: number): Pair {
  const learnt = isWaiting ? { code, reason } : {};
  // An update that is fetched and waits for its time is installed whatever the rollout does, so it holds its slot.
  const isDeferred = isWaiting && code !== 'COMMAND_WAITS';
  return moveMember(pair, { event: isDeferred ? 'defer' : 'progress', at, learnt });
}

function countFetched({ rollout, member }: Pair, { bytes, bytesFull, app }: StatusReport): Pair {
  // Reported a second time, it is counted once.
  if (bytes === undefined || bytesFull === undefined || member.good.includes(app)) return { rollout, member };
  const { fetched = { bytes: 0, fullBytes: 0 } } = rollout;
  const sum = { bytes: fetched.bytes + bytes, fullBytes: fetched.fullBytes + bytesFull };
  return { member, rollout: { ...rollout, fetched: sum } };
}

function applyGood(pair: Pair, app: string, at: number): Pair {
  const good = [...new Set([...pair.member.good, app])];
  const learnt = { good };
  if (!holdsAll(pair.rollout, good)) {
    const moved = moveMember(pair, { event: 'progress', at });
    return { ...moved, member: { ...moved.member, good } };
  }
  const installed = moveMember(pair, {
    event: 'install',
    at,
    learnt: { ...learnt, code: undefined, reason: undefined },
  });
  return holdsAll(pair.rollout, installed.member.shown)
    ? moveMember(installed, { event: 'show', at })
    : installed;
}

function holdsAll({ artifacts }: Rollout, apps: readonly string[]): boolean {
  return artifacts.every(({ app }) => apps.includes(app));
}

function applyFailure(pair: Pair, { code = '', reason, outcome }: StatusReport, at: number): Pair {
  const learnt = { code, reason };
  // Another command came before this one's turn: that says nothing about this version.
  if (code === 'CANCELLED') return moveMember(pair, { event: 'supersede', at, learnt });
  // The app that failed has a report of its own, with the reason.
  if (code === 'COMMAND_TOGETHER') return moveMember(pair, { event: 'progress', at, learnt });
  const failed = moveMember(pair, { event: 'fail', at, learnt });
  if (failed.member.state !== 'failed' || pair.member.state === 'failed') return failed;
  if (outcome === 'rollback-failed') return countRollbackFailure(failed);
  const pauseS = failed.rollout.policy.retriesS[failed.member.attempt - 1];
  return pauseS === undefined || !isPassing(code) ? failed : retryMember(failed, at, at + pauseS);
}

function countRollbackFailure({ rollout, member }: Pair): Pair {
  return { member, rollout: { ...rollout, rollbackFailures: rollout.rollbackFailures + 1 } };
}

/** Whether it is a fault of the network or the platform, not of the version. */
function isPassing(code: string): boolean {
  return Object.entries(ERROR_CODES).some(([known, { transient }]) => known === code && transient);
}

/** The command is offered again from `notBefore` on, under another id. */
export function retryMember(pair: Pair, at: number, notBefore: number): Pair {
  return moveMember(pair, {
    event: 'retry',
    at,
    learnt: { notBefore, good: [], shown: [], attempt: pair.member.attempt + 1 },
  });
}

/** After success: the version went back by itself, or a person on the gateway took it back. */
function applyLate(pair: Pair, { outcome, code, reason }: StatusReport, at: number): Pair {
  if (outcome !== 'rolled-back' && outcome !== 'rollback-failed') return pair;
  if (at - pair.rollout.startedAt > LATE_FAILURE_S) return pair;
  const failed = moveMember(pair, { event: 'fail', at, learnt: { code: code ?? 'LATE', reason } });
  const counted = outcome === 'rollback-failed' ? countRollbackFailure(failed) : failed;
  return { ...counted, rollout: settle(counted.rollout, at) };
}

/** An app of the rollout is restarted again and again. */
export function applyLooping(
  pair: Pair,
  loop: { app: string; version: string; text: string },
  at: number,
): Pair {
  const isOurs = pair.rollout.artifacts.some(
    ({ app, version }) => app === loop.app && version === loop.version,
  );
  const isYoung = at - pair.rollout.startedAt <= LATE_FAILURE_S;
  if (!isOurs || !isYoung || pair.member.state !== 'succeeded') return pair;
  const failed = moveMember(pair, { event: 'fail', at, learnt: { code: 'LOOPING', reason: loop.text } });
  return { ...failed, rollout: settle(failed.rollout, at) };
}

/** Applies an `engine_report`: what is known now about the apps of the gateway. */
export function applyApps(pair: Pair, apps: ReadonlyMap<string, AppRecord>, at: number): Pair {
  const shown = pair.rollout.artifacts
    .filter(({ app, version, digest }) => isRunning(apps.get(app), version, digest))
    .map(({ app }) => app);
  const seen: Pair = { ...pair, member: { ...pair.member, shown } };
  if (!holdsAll(pair.rollout, shown)) return seen;
  const back = isBack(seen) ? moveMember(seen, { event: 'install', at }) : seen;
  const moved = moveMember(back, { event: 'show', at });
  return { ...moved, rollout: settle(moved.rollout, at) };
}

/** Whether a silent member lacked nothing but the report of its apps. */
function isBack({ rollout, member }: Pair): boolean {
  return member.state === 'silent' && holdsAll(rollout, member.good);
}

/** EXITED is the state of an app without a program, which has nothing left to do after install.sh. */
function isRunning(app: AppRecord | undefined, version: string, digest: string | undefined): boolean {
  if (app === undefined || app.version !== version) return false;
  const isOther = digest !== undefined && app.digest !== undefined && digest !== app.digest;
  return !isOther && (app.status === 'RUNNING' || app.status === 'EXITED');
}

/** Any other sign of life moves the member's deadlines. */
export function noteHeard(member: Member, at: number): Member {
  return { ...member, heardAt: Math.max(member.heardAt, at) };
}
