/** Measurements of the running platform in Prometheus' text format: counters, gauges and histograms by label. */

/** Label -> value. Each label may have only a few values, since every combination is kept for good. */
type Labels = Readonly<Record<string, string>>;

interface Counter {
  add(labels?: Labels, by?: number): void;
}

export interface Histogram {
  observe(value: number, labels?: Labels): void;
}

export interface Sample {
  labels?: Labels;
  value: number;
}

export interface Metrics {
  counter(name: string, help: string): Counter;
  /** `read` is called each time the metrics are rendered. */
  gauge(name: string, help: string, read: () => readonly Sample[]): void;
  /** The same for a number that is counted elsewhere and only grows. */
  counted(name: string, help: string, read: () => readonly Sample[]): void;
  /** `bounds` are in ascending order; values above the last one are counted too. */
  histogram(name: string, help: string, bounds: readonly number[]): Histogram;
  /** All metrics, in the order in which they were made. */
  render(): string;
}

type Kind = 'counter' | 'gauge' | 'histogram';

interface Buckets {
  counts: number[];
  sum: number;
}

export function createMetrics(): Metrics {
  const families: (() => string[])[] = [];
  const add = (name: string, help: string, kind: Kind, lines: () => string[]): void => {
    families.push(() => [`# HELP ${name} ${help}`, `# TYPE ${name} ${kind}`, ...lines()]);
  };
  const read = (name: string, help: string, kind: Kind, samples: () => readonly Sample[]): void =>
    add(name, help, kind, () => samples().map(({ labels, value }) => `${name}${render(labels)} ${value}`));
  return {
    counter(name, help) {
      const values = new Map<string, number>();
      add(name, help, 'counter', () => [...values].map(([labels, value]) => `${name}${labels} ${value}`));
      return {
        add(labels, by = 1) {
          const key = render(labels);
          values.set(key, (values.get(key) ?? 0) + by);
        },
      };
    },
    gauge: (name, help, samples) => read(name, help, 'gauge', samples),
    counted: (name, help, samples) => read(name, help, 'counter', samples),
    histogram(name, help, bounds) {
      const series = new Map<string, Buckets>();
      add(name, help, 'histogram', () => [...series].flatMap((one) => renderBuckets(name, bounds, one)));
      return {
        observe(value, labels) {
          const key = render(labels);
          const found = series.get(key) ?? { counts: bounds.map(() => 0).concat(0), sum: 0 };
          series.set(key, found);
          const at = bounds.findIndex((bound) => value <= bound);
          const index = at === -1 ? bounds.length : at;
          found.counts[index] = (found.counts[index] ?? 0) + 1;
          found.sum += value;
        },
      };
    },
    render: () => `${families.flatMap((family) => family()).join('\n')}\n`,
  };
}

/** Each bucket counts all values up to its bound, so it includes the smaller buckets. */
function renderBuckets(
  name: string,
  bounds: readonly number[],
  [labels, { counts, sum }]: [string, Buckets],
): string[] {
  const within = labels === '' ? '{' : `${labels.slice(0, -1)},`;
  let count = 0;
  const lines = [...bounds.map(String), '+Inf'].map((bound, at) => {
    count += counts[at] ?? 0;
    return `${name}_bucket${within}le="${bound}"} ${count}`;
  });
  return [...lines, `${name}_sum${labels} ${sum}`, `${name}_count${labels} ${count}`];
}

function render(labels: Labels | undefined): string {
  if (labels === undefined) return '';
  const pairs = Object.entries(labels).map(([name, value]) => `${name}=${quote(value)}`);
  return `{${pairs.join(',')}}`;
}

/** Quoted, since names of products and apps come from outside. */
function quote(text: string): string {
  return `"${text.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')}"`;
}
