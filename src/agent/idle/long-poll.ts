/**
 * Between check-ins, with `long_poll` on: a request that the platform answers when a command is written
 * (one-platform.md §1.5). It only says that there is one; the check-in that follows reads it and takes it over, as
 * ever.
 */
import { describeError, GweError } from '../../base/errors.ts';
import { collectGarbage } from '../../base/memory.ts';
import { retryAfterMs } from '../../protocol/answer.ts';
import { createDataApi, type DataApi, MAX_LONG_POLL_MS } from '../../protocol/data.ts';
import { FETCH_ALIAS } from '../../protocol/messages.ts';
import { createCommandStore, digestText } from '../../store/command.ts';
import { nextSince, type PollMemory } from '../check-in/poll-memory.ts';
import type { AgentContext } from '../run/context.ts';
import { composeTransport, deviceKey } from '../run/platform-connection.ts';
import type { TrafficCounter } from '../traffic/counter.ts';
import { createSchedule, type Schedule } from './schedule.ts';

interface LongPollParts {
  context: AgentContext;
  memory: PollMemory;
  traffic: TrafficCounter;
  /** Is told what keeps long polls from working, `undefined` once they do. */
  onProblem(problem: string | undefined): void;
}

export interface LongPolls {
  /** Whether a rest of `restMs` is to be spent in long polls. Why not, though they are on, is logged once. */
  isWanted(restMs: number): boolean;
  /** True when a command has been written: as long as that has not happened, it goes on until `restMs` or `signal`. */
  listen(restMs: number, signal: AbortSignal): Promise<boolean>;
  problem(): string | undefined;
}

/** From the beginning of a request to that of the next one, the check-in included. */
const BETWEEN_REQUESTS_MS = 1000;
/** Before the check-in is due the poll has its answer, so that the connection is not broken off. */
const SPARE_MS = 1000;
const SHORTEST_POLL_MS = 1000;
/** In a shorter rest the check-in comes about as soon. */
const SHORTEST_REST_MS = 5000;
/** An answer without news that comes sooner shows a platform that does not wait. */
const QUICK_MS = 5000;
/** Whatever is on the way drops silent connections after more than this: one that held so long was one. */
const HELD_MS = 20_000;
/** Answers without a command but with a value, one after the other: our own clearing of the alias shows so. */
const MOST_ECHOES = 10;
const LONGEST_PAUSE_MS = 15 * 60 * 1000;
const TELL_EVERY_MS = 3600 * 1000;
/** Well below what NAT tables keep a silent connection for. */
const PROBE_AFTER_MS = 60_000;

interface State {
  pace: Schedule;
  /** On the monotonic clock. */
  notBeforeMs: number;
  /** The last poll has ended the rest. */
  hasFound: boolean;
  echoes: number;
  problem: string | undefined;
  toldAtMs: number;
  /** Why there are no long polls although they are on, as last reported. */
  toldOff: string;
}

type Run = LongPollParts & { state: State };

export function createLongPolls(parts: LongPollParts): LongPolls {
  const state: State = {
    pace: createSchedule(Math.random),
    notBeforeMs: Number.NEGATIVE_INFINITY,
    hasFound: false,
    echoes: 0,
    problem: undefined,
    toldAtMs: Number.NEGATIVE_INFINITY,
    toldOff: '',
  };
  const run: Run = { ...parts, state };
  return {
    isWanted: (restMs) => isWanted(run, restMs),
    problem: () => state.problem,
    async listen(restMs, signal) {
      try {
        return await listen(run, restMs, signal);
      } catch (error) {
        // Nothing that happens here may end the agent; the check-in reports what is wrong with the configuration.
        if (!signal.aborted) slowDown(run, describeError(error), 0);
        return false;
      }
    },
  };
}

function isWanted({ context, state }: Run, restMs: number): boolean {
  if (!context.settings().longPoll) return false;
  const reason = reasonAgainst(context, restMs);
  if (reason !== state.toldOff && reason !== '') context.log.info('poll.off', {}, reason);
  state.toldOff = reason;
  return reason === '';
}

function reasonAgainst({ budget }: Pick<AgentContext, 'budget'>, restMs: number): string {
  if (budget.state()?.isTight === true) {
    return 'no long polls: only the reserve of budget_month is left, and it belongs to check-ins';
  }
  if (restMs >= SHORTEST_REST_MS) return '';
  return `no long polls: check-ins less than ${SHORTEST_REST_MS / 1000} s apart are about as fast`;
}

async function listen(run: Run, restMs: number, signal: AbortSignal): Promise<boolean> {
  const { context, traffic, state } = run;
  const { clock } = context;
  const endMs = clock.monotonicMs() + restMs - SPARE_MS;
  let nextMs = clock.monotonicMs() + BETWEEN_REQUESTS_MS;
  judgeLastFind(run);
  const transport = composeTransport(context, traffic, PROBE_AFTER_MS);
  const data = createDataApi(transport, deviceKey(context), {
    clock,
    maxReplyBytes: context.settings().maxReplyBytes,
  });
  try {
    for (;;) {
      const wakeMs = Math.min(Math.max(nextMs, state.notBeforeMs), endMs);
      await clock.sleep(wakeMs - clock.monotonicMs(), signal);
      const leftMs = endMs - clock.monotonicMs();
      if (signal.aborted || leftMs < SHORTEST_POLL_MS || !isWanted(run, restMs)) return false;
      nextMs = clock.monotonicMs() + BETWEEN_REQUESTS_MS;
      collectGarbage();
      const end = await pollOnce(run, data, leftMs, signal);
      context.ledger.save();
      if (end !== 'again') return end === 'news';
    }
  } finally {
    transport.close();
  }
}

/** A platform that announces commands that do not exist must not cause one check-in after another. */
function judgeLastFind(run: Run): void {
  const { state, memory } = run;
  if (!state.hasFound) return;
  state.hasFound = false;
  if (memory.hasTaken) state.pace.succeeded();
  else slowDown(run, 'the check-in did not find the command that a long poll had announced', 0);
}

type PollEnd = 'news' | 'again' | 'over';

async function pollOnce(run: Run, data: DataApi, leftMs: number, signal: AbortSignal): Promise<PollEnd> {
  const { context, memory } = run;
  const startedMs = context.clock.monotonicMs();
  const waitedMs = (): number => context.clock.monotonicMs() - startedMs;
  const longestMs = Math.min(context.settings().longPollTimeoutS * 1000, MAX_LONG_POLL_MS);
  const timeoutMs = Math.min(leftMs, longestMs);
  try {
    const result = await data.longPoll(FETCH_ALIAS, { timeoutMs, since: memory.sinceS, signal });
    memory.sinceS = nextSince(memory.sinceS, result);
    if (isNews(context, result.value)) return found(run, result.value?.length);
    return judgeQuiet(run, result.hasChanged, waitedMs() < Math.min(timeoutMs / 2, QUICK_MS));
  } catch (error) {
    return signal.aborted ? 'over' : judgeError(run, error, waitedMs());
  }
}

/** What the check-in knows already would not be taken over by it either. */
function isNews({ layout }: Pick<AgentContext, 'layout'>, value = ''): boolean {
  if (value === '') return false;
  const { current, stuckDigest } = createCommandStore(layout.command).read();
  const digest = digestText(value);
  return digest !== stuckDigest && digest !== current?.digest;
}

function found({ context, memory, state }: Run, bytes: number | undefined): PollEnd {
  context.log.info('poll.found', { bytes }, 'a command has been written');
  state.hasFound = true;
  state.echoes = 0;
  memory.hasTaken = false;
  return 'news';
}

function judgeQuiet(run: Run, hasChanged: boolean, isQuick: boolean): PollEnd {
  const { state, onProblem } = run;
  if (isQuick && !(hasChanged && ++state.echoes <= MOST_ECHOES)) {
    slowDown(run, 'the platform answers long polls at once: it does not seem to support them', 0);
  }
  if (isQuick) return 'again';
  state.pace.succeeded();
  state.echoes = 0;
  if (state.problem !== undefined) onProblem(undefined);
  state.problem = undefined;
  return 'again';
}

function judgeError(run: Run, error: unknown, waitedMs: number): PollEnd {
  const code = error instanceof GweError ? error.code : undefined;
  // The check-in reports and clears one that is too long to read, and requests a new key for one that is refused.
  if (code === 'PROTOCOL_TOO_LARGE') return found(run, undefined);
  if (code === 'PROTOCOL_UNAUTHORIZED') return 'over';
  if (waitedMs >= HELD_MS && isBrokenWait(error)) {
    const { context, state } = run;
    context.log.debug('poll.broken', { ms: Math.round(waitedMs) }, describeError(error));
    // A platform that restarts has broken those of a whole fleet.
    state.notBeforeMs = context.clock.monotonicMs() + BETWEEN_REQUESTS_MS * (1 + 2 * Math.random());
  } else slowDown(run, describeError(error), retryAfterMs(error));
  return 'again';
}

/** Whether something on the way, or the platform at its end, has broken off a wait that had begun. */
function isBrokenWait(error: unknown): boolean {
  if (!(error instanceof GweError)) return false;
  const { stage, status, retryAfterMs: wish } = error.facts;
  return (
    stage === 'waiting' || stage === 'receiving' || (wish === undefined && (status === 502 || status === 504))
  );
}

function slowDown({ context, state, onProblem }: Run, reason: string, wishMs: number): void {
  const nowMs = context.clock.monotonicMs();
  state.pace.failed(wishMs);
  const pauseMs = Math.max(state.pace.delayMs(LONGEST_PAUSE_MS), BETWEEN_REQUESTS_MS);
  state.notBeforeMs = nowMs + pauseMs;
  if (state.problem !== reason) onProblem(reason);
  state.problem = reason;
  if (nowMs - state.toldAtMs < TELL_EVERY_MS) return;
  state.toldAtMs = nowMs;
  const seconds = Math.ceil(pauseMs / 1000);
  context.log.warn(
    'poll.failed',
    { seconds },
    `${reason}; check-ins go on, the next long poll is in ${seconds} s, then less and less often`,
  );
}
