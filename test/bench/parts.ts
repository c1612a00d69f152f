/** What `make bench` consists of, in the order of its table. */
import { checkInRows } from './check-in.ts';
import { fleetRows } from './fleet.ts';
import { idleRows } from './idle.ts';
import { installRows } from './install.ts';
import { packRows } from './pack.ts';
import { PAYLOADS, type Payload } from './payload.ts';
import type { Row } from './row.ts';
import type { Site } from './site.ts';
import { slowDiskRows } from './slow-disk.ts';
import { startRows } from './start.ts';
import { updateRows } from './update.ts';
import { uploadRows } from './upload.ts';

export interface Part {
  name: string;
  rows(site: Site): Promise<Row[]>;
}

/** At most, so that all of it ends within a quarter of an hour. */
const MOST_RUNS: Readonly<Record<string, number>> = { small: 11, medium: 7, large: 5 };
const MOST_LONG_RUNS = 3;

/** With `runs` of each install and build, where it is given. */
export function listParts(runs: number | undefined): Part[] {
  const large = PAYLOADS.filter(({ name }) => name === 'large');
  const small = PAYLOADS.filter(({ name }) => name === 'small');
  return [
    { name: 'start', rows: startRows },
    { name: 'idle', rows: idleRows },
    { name: 'check-in', rows: checkInRows },
    { name: 'update', rows: updateRows },
    { name: 'upload', rows: uploadRows },
    ...PAYLOADS.flatMap((payload) =>
      installParts(payload, runs ?? MOST_RUNS[payload.name] ?? MOST_LONG_RUNS),
    ),
    ...small.map((payload) => ({
      name: 'slow-disk',
      rows: (site: Site) => slowDiskRows(site, payload, runs ?? MOST_LONG_RUNS),
    })),
    ...large.map((payload) => ({
      name: 'agents',
      rows: (site: Site) => fleetRows(site, payload, runs ?? MOST_LONG_RUNS),
    })),
    ...large.map((payload) => ({
      name: 'pack',
      rows: (site: Site) => packRows(site, payload, runs ?? MOST_LONG_RUNS),
    })),
  ];
}

function installParts(payload: Payload, runs: number): Part[] {
  return (['plain', 'indexed'] as const).map((kind) => ({
    name: `install-${kind}-${payload.name}`,
    rows: (site) => installRows(site, payload, kind, runs),
  }));
}
