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
  runs: number;
  /** By quantity. */
  values: Readonly<Record<string, Figure>>;
}

export interface Figure {
  median: number;
  /** Half the distance between the quartiles, as a share of the median. */
  noise: number;
}

/** Below this the medians are taken for settled. */
export const SETTLED_NOISE = 0.04;

/** Throws when the contenders did different work: their figures say nothing of each other then. */
export async function measureGroup(group: Group): Promise<Result[]> {
  const runs = group.contenders.map((): Measured[] => []);
  for (let round = 0; round < group.mostRuns; round++) {
    for (const [index, contender] of group.contenders.entries()) runs[index]?.push(await contender.run());
    assertSameWork(group);
    if (round + 1 < group.leastRuns) continue;
    if (runs.every((each) => figure(each, group.quantity).noise <= SETTLED_NOISE)) break;
  }
  return group.contenders.map(({ name, what }, index) => {
    const measured = runs[index] ?? [];
    const quantities = Object.keys(measured[0] ?? {});
    const values = Object.fromEntries(quantities.map((quantity) => [quantity, figure(measured, quantity)]));
    return { name, what, runs: measured.length, values };
  });
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

function figure(measured: readonly Measured[], quantity: string): Figure {
  const sorted = measured.map((one) => one[quantity] ?? Number.NaN).sort((a, b) => a - b);
  const median = at(sorted, 0.5);
  return { median, noise: median === 0 ? 0 : (at(sorted, 0.75) - at(sorted, 0.25)) / 2 / median };
}

function at(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1);
  const below = sorted[Math.floor(place)] ?? Number.NaN;
  const above = sorted[Math.ceil(place)] ?? Number.NaN;
  return below + (above - below) * (place - Math.floor(place));
}
