/** Repeated measuring: contenders take turns, so that what else the machine does meets all of them alike. */

/** Quantities by name: seconds, peakMiB, writtenMB ... */
export type Measured = Readonly<Record<string, number>>;

export interface Contender {
  name: string;
  /** What it does, so that nobody has to guess. */
  what: string;
  run(): Promise<Measured & { work?: never }> | Promise<Measured>;
  /** Of the last run: a digest of what it brought about. Contenders of one group must agree. */
  work?(): string;
}

export interface Group {
  title: string;
  contenders: readonly Contender[];
  /** The quantity that decides when there are runs enough. */
  quantity: string;
  leastRuns: number;
  mostRuns: number;
}

export interface Result {
  name: string;
  what: string;
  /** One for each round: what stands at the same place in two results was measured side by side. */
  samples: readonly Measured[];
  /** By quantity. */
  values: Readonly<Record<string, Figure>>;
}

export interface Figure {
  median: number;
  /** Half the distance between the quartiles, as a share of the median. */
  noise: number;
}

/** A median that is surer than this is taken for settled. */
const SETTLED_DOUBT = 0.06;

/**
 * Throws when the contenders did different work: their figures say nothing of each other then. Ends when the ratios of
 * the first one to the others are settled, and with the last round in any case.
 */
export async function measureGroup(group: Group): Promise<Result[]> {
  const runs = group.contenders.map((): Measured[] => []);
  for (let round = 0; round < group.mostRuns; round++) {
    for (const [index, contender] of group.contenders.entries()) runs[index]?.push(await contender.run());
    assertSameWork(group);
    if (round + 1 < group.leastRuns) continue;
    if (areSettled(runs, group.quantity)) break;
  }
  return group.contenders.map(({ name, what }, index) => {
    const samples = runs[index] ?? [];
    const quantities = Object.keys(samples[0] ?? {});
    const values = Object.fromEntries(
      quantities.map((quantity) => [quantity, figure(valuesOf(samples, quantity))]),
    );
    return { name, what, samples, values };
  });
}

function areSettled([first = [], ...others]: readonly Measured[][], quantity: string): boolean {
  if (others.length === 0) return isSettled(figure(valuesOf(first, quantity)), first.length);
  return others.every((other) => {
    const ours = valuesOf(first, quantity);
    return isSettled(ratioOf(ours, valuesOf(other, quantity)), ours.length);
  });
}

/** By twice the standard error of the median, as far as the quartiles of `runs` values tell it. */
export function isSettled({ noise }: Figure, runs: number): boolean {
  return (3.7 * noise) / Math.sqrt(runs) <= SETTLED_DOUBT;
}

/** Of what was measured side by side: what slows the machine for a while slows both, and drops out. */
export function ratioOf(ours: readonly number[], theirs: readonly number[]): Figure {
  return figure(ours.map((value, index) => value / (theirs[index] ?? Number.NaN)));
}

export function valuesOf(samples: readonly Measured[], quantity: string): number[] {
  return samples.map((one) => one[quantity] ?? Number.NaN);
}

function assertSameWork({ title, contenders }: Group): void {
  const works = contenders.map((contender) => ({ name: contender.name, work: contender.work?.() }));
  const [first] = works;
  const other = works.find(({ work }) => work !== first?.work);
  if (first === undefined || other === undefined) return;
  throw new Error(
    `${title}: '${other.name}' did other work than '${first.name}' (${other.work}, ${first.work})`,
  );
}

function figure(values: readonly number[]): Figure {
  const sorted = [...values].sort((a, b) => a - b);
  const median = at(sorted, 0.5);
  return { median, noise: median === 0 ? 0 : (at(sorted, 0.75) - at(sorted, 0.25)) / 2 / median };
}

function at(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1);
  const below = sorted[Math.floor(place)] ?? Number.NaN;
  const above = sorted[Math.ceil(place)] ?? Number.NaN;
  return below + (above - below) * (place - Math.floor(place));
}
