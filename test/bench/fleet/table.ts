/** The table that the bench of a fleet prints, a row as soon as it is measured. */
import { loadavg } from 'node:os';
import type { Fleet } from './parts.ts';

export interface Row {
  what: string;
  value: number;
  unit: string;
  /** What it is to be at least, or at most. */
  goal?: { least: number } | { most: number };
}

/** What each section is given. */
export interface Bench {
  scratch: string;
  load: string;
  slowSync: string;
  /** A number, or the part of it that GWE_BENCH_PART asks for. */
  part(count: number): number;
  /** Prints it, and keeps it for the file. */
  tell(row: Row): void;
  keep(row: Row): void;
  /** The directory of a platform with so many gateways, made once. */
  fleet(count: number): Promise<Fleet>;
}

export function printRow({ what, value, unit, goal }: Row): void {
  const isMissed = goal !== undefined && ('least' in goal ? value < goal.least : value > goal.most);
  const wanted =
    goal === undefined ? '' : 'least' in goal ? `at least ${goal.least}` : `at most ${goal.most}`;
  const shown = value >= 100 ? Math.round(value) : value.toFixed(1);
  console.log(`| ${what} | ${shown} ${unit} | ${wanted}${isMissed ? ' (missed)' : ''} |`);
}

/** How busy the machine was while a section ran: rates and times depend on it. */
export function printSection(name: string, seconds: number): void {
  const [load = 0] = loadavg();
  console.log(`| *${name}: ${Math.round(seconds)} s, load ${load.toFixed(1)} at its end* | | |`);
}

export function middleOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
