/**
 * `make bench-fleet`: what many gateways cost a platform, beside a static file of nginx, a minimal server on node:http
 * and node:sqlite, and pgbench; and how rollouts to them go. `ONLY=plain,tls` runs these sections; GWE_BENCH_PART=0.1: a
 * tenth of everything. Figures go to .cache/bench/fleet.json too.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { anchors } from './anchors.ts';
import { beside } from './beside.ts';
import { longPolls, overTls, plain, slowDisk } from './check-ins.ts';
import { database } from './database.ts';
import { embeddedTicks } from './embedded-ticks.ts';
import { million } from './million.ts';
import { compileLoad, type Fleet, makeFleet } from './parts.ts';
import { lists, reports } from './reports.ts';
import { type Bench, printRow, printSection, type Row } from './table.ts';
import { waves } from './waves.ts';

const SECTIONS: Readonly<Record<string, (bench: Bench) => Promise<void>>> = {
  plain,
  tls: overTls,
  beside,
  polls: longPolls,
  disk: slowDisk,
  reports,
  lists,
  database,
  ticks: embeddedTicks,
  million,
  anchors,
  // It prints a table of its own.
  waves,
};

/** Throws for a section that does not exist. */
function chosenSections(only: string | undefined): [string, (bench: Bench) => Promise<void>][] {
  const names = only === undefined ? Object.keys(SECTIONS) : only.split(',');
  return names.map((name) => {
    const run = SECTIONS[name];
    if (run === undefined)
      throw new Error(`no section '${name}': expected some of ${Object.keys(SECTIONS).join(', ')}`);
    return [name, run];
  });
}

async function main(): Promise<void> {
  const { only } = parseArgs({ options: { only: { type: 'string' } } }).values;
  const part = Number(process.env.GWE_BENCH_PART ?? '1');
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-bench-fleet-'));
  const fleets = new Map<number, Fleet>();
  const rows: Row[] = [];
  const bench: Bench = {
    scratch,
    ...compileLoad(scratch),
    part: (count) => Math.round(count * part),
    keep: (row) => rows.push(row),
    tell(row) {
      rows.push(row);
      printRow(row);
    },
    async fleet(count) {
      const size = Math.round(count * part);
      const found = fleets.get(size) ?? (await makeFleet(scratch, size));
      fleets.set(size, found);
      return found;
    },
  };
  try {
    console.log('| what | gwe | goal |\n| --- | --: | --- |');
    for (const [name, run] of chosenSections(only)) {
      const begun = performance.now();
      await run(bench);
      printSection(name, (performance.now() - begun) / 1000);
    }
    mkdirSync('.cache/bench', { recursive: true });
    writeFileSync('.cache/bench/fleet.json', `${JSON.stringify(rows, undefined, 2)}\n`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

if (spawnSync('gcc', ['--version']).error !== undefined) throw new Error('there is no gcc');
await main();
