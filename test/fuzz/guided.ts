/** A small coverage-guided fuzzer: an input that reaches a block for the first time is kept and built upon. */
import { GweError } from '../../src/base/errors.ts';
import { type Coverage, isAt, type Place, startCoverage } from './coverage.ts';
import { createRandom, mutate } from './mutate.ts';
import type { FuzzTarget } from './targets.ts';

export interface FuzzResult {
  inputs: number;
  corpus: number;
  blocks: number;
  slowestMs: number;
  /** Of the process, at its peak. */
  peakMib: number;
}

export interface FuzzOptions {
  seconds: number;
  seed: number;
  /** The scripts that guide it: gwe's own unless told otherwise. */
  within?: RegExp;
}

const HANG_MS = 1000;
/** The runtime, the coverage and a decoder's own limits; without a fault no target comes near. */
const MOST_MIB = 512;
/** Asking for the coverage costs more than most inputs: it is asked for so many at a time. */
const BATCH = 32;

export class FuzzFinding extends Error {
  override readonly name = 'FuzzFinding';
}

/** Tries inputs for that long. Throws FuzzFinding, with the input in base64, for the first that does harm. */
export async function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<FuzzResult> {
  const random = createRandom(options.seed);
  const corpus: Buffer[] = target.seeds.map((seed) => Buffer.from(seed));
  const coverage = startCoverage(options.within);
  const result: FuzzResult = { inputs: 0, corpus: 0, blocks: 0, slowestMs: 0, peakMib: 0 };
  const attempt = async (input: Buffer): Promise<void> => {
    result.inputs += 1;
    result.slowestMs = Math.max(result.slowestMs, await tryInput(target, input));
  };
  try {
    for (const seed of corpus) await attempt(seed);
    coverage.add(coverage.take());
    const endMs = performance.now() + options.seconds * 1000;
    while (performance.now() < endMs) {
      const inputs = Array.from({ length: BATCH }, () =>
        mutate(
          corpus[random(corpus.length)] ?? Buffer.alloc(0),
          corpus,
          target.words,
          random,
          target.limitBytes,
        ),
      );
      for (const input of inputs) await attempt(input);
      const reached = coverage.add(coverage.take());
      if (reached.length > 0) corpus.push(...(await pickOut(target, inputs, coverage, reached)));
      checkMemory(target, inputs);
    }
    return { ...result, corpus: corpus.length, blocks: coverage.total(), peakMib: peakMib() };
  } finally {
    coverage.stop();
  }
}

/** Of a batch that reached blocks for the first time, the first input for each of them. */
async function pickOut(
  target: FuzzTarget,
  inputs: readonly Buffer[],
  coverage: Coverage,
  reached: readonly Place[],
): Promise<Buffer[]> {
  const kept: Buffer[] = [];
  let wanted = reached;
  coverage.take();
  for (const input of inputs) {
    if (wanted.length === 0) break;
    await tryInput(target, input);
    const painted = coverage.take();
    const left = wanted.filter((place) => !isAt(painted, place));
    if (left.length < wanted.length) kept.push(input);
    wanted = left;
  }
  return kept;
}

/** Milliseconds that `input` took. A slow one is tried again: the machine may have been busy. */
export async function tryInput(target: FuzzTarget, input: Buffer): Promise<number> {
  const tookMs = await timed(target, input);
  if (tookMs <= HANG_MS) return tookMs;
  const again = await timed(target, input);
  if (again > HANG_MS) throw finding(target, input, `took ${Math.round(again)} ms`);
  return again;
}

async function timed(target: FuzzTarget, input: Buffer): Promise<number> {
  const startMs = performance.now();
  try {
    await target.run(input);
  } catch (error) {
    const isOrderly = error instanceof GweError && !/\n/.test(error.message) && error.message.length < 5000;
    if (!isOrderly) throw finding(target, input, error instanceof Error ? `${error.stack}` : String(error));
  }
  return performance.now() - startMs;
}

function checkMemory(target: FuzzTarget, inputs: readonly Buffer[]): void {
  if (peakMib() <= MOST_MIB) return;
  throw finding(target, inputs.at(-1) ?? Buffer.alloc(0), `or one shortly before it took ${peakMib()} MiB`);
}

const peakMib = (): number => Math.round(process.resourceUsage().maxRSS / 1024);

function finding(target: FuzzTarget, input: Buffer, what: string): FuzzFinding {
  return new FuzzFinding(`${target.name}: the input ${input.toString('base64')} ${what}`);
}
