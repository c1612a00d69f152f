/**
 * How reports come through. One that the platform, or something before it, refuses again and again is set aside, so
 * that it stands before nothing else: kept, tried once a day, named in the reports that do come through.
 */
import * as v from 'valibot';
import { storedFile } from '../../base/stored-file.ts';

const MOST_REFUSALS = 3;
const TRY_AGAIN_AFTER_MS = 24 * 3600 * 1000;
/** When reports twice fail together and pass one by one, the third try together waits this long. */
const APART_FOR_MS = 24 * 3600 * 1000;
const MOST_REMEMBERED = 300;
const MOST_NAMED = 8;
const LARGEST_STATE_BYTES = 256 * 1024;

const CountSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const RefusalSchema = v.object({ times: CountSchema, why: v.string(), atMs: v.number() });
const StateSchema = v.object({
  /** By alias for a regular report, by key for one that waits. */
  refusals: v.record(v.string(), RefusalSchema),
  /** Keys of reports that the platform has, but that could not be removed here. */
  delivered: v.array(v.string()),
  /** The last combined request failed: until when none is tried, and how many failed in a row. */
  apart: v.optional(v.object({ failures: CountSchema, untilMs: v.number(), isOver: v.boolean() })),
  /** A report that named the others was refused itself: their names may be why. */
  isNameless: v.boolean(),
});
type State = v.InferOutput<typeof StateSchema>;

/** One that is set aside, as reports tell it; without its name where names are refused. */
export interface SetAside {
  report?: string;
  refused: number;
  /** The status, or the code of the error. */
  why: string;
}

/** What tells it from the others, and does not change from one try to the next. */
export function nameOf({ report, why }: SetAside): string {
  return `${report ?? ''} ${why}`;
}

export interface Delivery {
  /** Whether reports are to be sent one by one, after the commands have been read. */
  isApart(nowMs: number): boolean;
  /** Reports and commands in one request did not work. */
  failedTogether(nowMs: number): void;
  workedTogether(): void;
  /** Everything passed one by one: the next is tried together again. */
  workedApart(): void;
  /** Counts one. True when this one sets the report aside. */
  refused(id: string, why: string, nowMs: number): boolean;
  passed(id: string): void;
  refusals(id: string): number;
  /** Whether it is set aside and its day is not over. */
  isHeld(id: string, nowMs: number): boolean;
  isSetAside(id: string): boolean;
  setAside(): SetAside[];
  /** A report with such names was refused. */
  refusedNames(): void;
  /** The platform has the report `key`, which could not be removed. */
  delivered(key: string): void;
  deliveredKeys(): readonly string[];
  removed(key: string): void;
  /** Another platform, or another key for it. */
  forget(): void;
}

/** Kept in `path` (tmpfs, as far as it can be written). */
export function createDelivery(path: string): Delivery {
  const file = storedFile(path, { schema: StateSchema, limitBytes: LARGEST_STATE_BYTES });
  let state: State = { ...createState(), ...file.readOr({}) };
  const change = (changes: Partial<State>): void => {
    state = { ...state, ...changes };
    try {
      file.write(state);
    } catch {
      // This process knows it; the next one finds it out again.
    }
  };
  const isSetAside = (id: string): boolean => (state.refusals[id]?.times ?? 0) >= MOST_REFUSALS;
  const without = (id: string): State['refusals'] => {
    const { [id]: _gone, ...others } = state.refusals;
    return others;
  };
  return {
    isApart: (nowMs) =>
      state.apart !== undefined && !(state.apart.isOver && isPast(state.apart.untilMs, nowMs)),
    failedTogether(nowMs) {
      const failures = (state.apart?.failures ?? 0) + 1;
      change({ apart: { failures, untilMs: failures < 2 ? nowMs : nowMs + APART_FOR_MS, isOver: false } });
    },
    workedTogether() {
      if (state.apart !== undefined) change({ apart: undefined });
    },
    workedApart() {
      if (state.apart?.isOver === false) change({ apart: { ...state.apart, isOver: true } });
    },
    refused(id, why, nowMs) {
      const times = (state.refusals[id]?.times ?? 0) + 1;
      const entries = Object.entries({ ...without(id), [id]: { times, why, atMs: nowMs } });
      const isNews = times === MOST_REFUSALS;
      change({
        refusals: Object.fromEntries(entries.slice(-MOST_REMEMBERED)),
        ...(isNews ? { isNameless: false } : {}),
      });
      return isNews;
    },
    passed(id) {
      if (state.refusals[id] === undefined) return;
      // What stopped this one may have stopped the others: they need not wait for their day.
      const wasSetAside = isSetAside(id);
      const left = Object.entries(without(id)).map(
        ([other, one]) => [other, wasSetAside ? { ...one, atMs: 0 } : one] as const,
      );
      change({ refusals: Object.fromEntries(left), ...(wasSetAside ? { isNameless: false } : {}) });
    },
    refusals: (id) => state.refusals[id]?.times ?? 0,
    isHeld(id, nowMs) {
      const atMs = state.refusals[id]?.atMs ?? 0;
      return isSetAside(id) && Math.abs(nowMs - atMs) < TRY_AGAIN_AFTER_MS;
    },
    isSetAside,
    setAside: () =>
      Object.entries(state.refusals)
        .filter(([id]) => isSetAside(id))
        .slice(0, MOST_NAMED)
        .map(([report, { times, why }]) => ({
          ...(state.isNameless ? {} : { report }),
          refused: times,
          why,
        })),
    refusedNames: () => change({ isNameless: true }),
    delivered(key) {
      if (!state.delivered.includes(key))
        change({ delivered: [...state.delivered, key].slice(-MOST_REMEMBERED) });
    },
    deliveredKeys: () => state.delivered,
    removed: (key) => change({ delivered: state.delivered.filter((each) => each !== key) }),
    forget: () => change(createState()),
  };
}

function createState(): State {
  return { refusals: {}, delivered: [], apart: undefined, isNameless: false };
}

/** A clock that has jumped counts as time elapsed: one try too many does less harm. */
function isPast(untilMs: number, nowMs: number): boolean {
  return nowMs >= untilMs || untilMs - nowMs > APART_FOR_MS;
}
