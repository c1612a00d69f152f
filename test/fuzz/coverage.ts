/** Which blocks of gwe's code have run: V8's precise coverage of this process. */
import { type Profiler, Session } from 'node:inspector';

const GWE_AND_ITS_PACKAGES = /\/src\/(?!platform|packaging)|\/node_modules\//;

/** By script, one byte for each character of it: 1 where it ran. */
export type Painted = ReadonlyMap<string, Uint8Array>;

export interface Coverage {
  /** What ran since the last call. */
  take(): Painted;
  /** The beginnings of what no earlier call of this was given. */
  add(painted: Painted): Place[];
  /** How many beginnings there were so far. */
  total(): number;
  stop(): void;
}

export interface Place {
  script: string;
  offset: number;
}

export const isAt = (painted: Painted, { script, offset }: Place): boolean =>
  painted.get(script)?.[offset] === 1;

/** Of the scripts whose address fits `within`. */
export function startCoverage(within: RegExp = GWE_AND_ITS_PACKAGES): Coverage {
  const seen = new Map<string, Uint8Array>();
  let total = 0;
  const session = new Session();
  session.connect();
  const post = (method: string, params: object = {}): unknown => {
    let answer: unknown;
    // The session of one's own thread answers before `post` returns.
    session.post(method, params, (error, result) => {
      if (error !== null) throw error;
      answer = result;
    });
    return answer;
  };
  post('Profiler.enable');
  post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  const take = (): Painted => {
    const { result } = post('Profiler.takePreciseCoverage') as Profiler.TakePreciseCoverageReturnType;
    return new Map(
      result.filter(({ url }) => within.test(url)).map((script) => [script.scriptId, paint(script)]),
    );
  };
  return {
    take,
    add(painted) {
      const places = [...painted].flatMap(([script, now]) => {
        const before = seen.get(script) ?? new Uint8Array(0);
        const [merged, offsets] = merge(before, now);
        seen.set(script, merged);
        return offsets.map((offset) => ({ script, offset }));
      });
      total += places.length;
      return places;
    },
    total: () => total,
    stop: () => session.disconnect(),
  };
}

/** Outer ranges come first, so that inner ones correct them. */
function paint({ functions }: Profiler.ScriptCoverage): Uint8Array {
  const length = Math.max(0, ...functions.flatMap(({ ranges }) => ranges.map(({ endOffset }) => endOffset)));
  const painted = new Uint8Array(length);
  for (const { ranges } of functions)
    for (const { startOffset, endOffset, count } of ranges)
      painted.fill(count > 0 ? 1 : 0, startOffset, endOffset);
  return painted;
}

function merge(before: Uint8Array, now: Uint8Array): [merged: Uint8Array, beginnings: number[]] {
  const merged = new Uint8Array(Math.max(before.length, now.length));
  merged.set(before);
  const beginnings: number[] = [];
  let wasNew = false;
  for (let at = 0; at < now.length; at++) {
    const isNew = now[at] === 1 && merged[at] === 0;
    if (isNew && !wasNew) beginnings.push(at);
    if (isNew) merged[at] = 1;
    wasNew = isNew;
  }
  return [merged, beginnings];
}
