/** What a gateway has reported of its disk, memory, clock and data budget over time, from the reports that are kept. */
import { countOf, fieldsOf, parseJson } from './decode.ts';
import { decodeDeviceInfo, decodeUsageReport } from './device-info.ts';

interface Report {
  readonly value: string;
  /** Unix seconds. */
  readonly timestamp: number;
}

interface Point {
  readonly at: number;
  readonly value: number;
}

interface Figures {
  /** Bytes free where apps are unpacked. */
  readonly disk: readonly Point[];
  /** Bytes of memory that programs could still get. */
  readonly memory: readonly Point[];
  /** Seconds by which its clock is ahead of the platform's; below 0, behind. */
  readonly clock: readonly Point[];
  /** Bytes left of its data budget. */
  readonly budget: readonly Point[];
}

/** The oldest first. A report that cannot be read, or does not have a figure, gives no point. */
export function figuresOf(infos: readonly Report[], usages: readonly Report[]): Figures {
  return {
    disk: pointsOf(infos, (value) => decodeDeviceInfo(value)?.freeBytes),
    memory: pointsOf(infos, (value) => countOf(partOf(value, 'memory')?.available)),
    clock: pointsOf(infos, (value) => aheadOf(partOf(value, 'clock'))),
    budget: pointsOf(usages, (value) => decodeUsageReport(value)?.budgetLeftBytes),
  };
}

function pointsOf(reports: readonly Report[], read: (value: string) => number | undefined): Point[] {
  return reports
    .flatMap(({ value: text, timestamp: at }): Point[] => {
      const value = read(text);
      return value === undefined ? [] : [{ at, value }];
    })
    .sort((one, other) => one.at - other.at);
}

function partOf(text: string, name: 'memory' | 'clock'): Readonly<Record<string, unknown>> | undefined {
  const parsed = parseJson(text);
  return Array.isArray(parsed) ? undefined : fieldsOf(fieldsOf(parsed)?.[name]);
}

/** A clock that was never set is decades behind. */
const MOST_AHEAD_S = 100 * 366 * 86_400;

/** The agent leaves out what is within two minutes, and calls the clock right. */
function aheadOf(clock: Readonly<Record<string, unknown>> | undefined): number | undefined {
  const ahead = clock?.ahead ?? (clock?.state === 'right' ? 0 : undefined);
  return typeof ahead === 'number' && Math.abs(ahead) <= MOST_AHEAD_S ? ahead : undefined;
}
