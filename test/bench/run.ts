/**
 * `make bench`: gwe against its peers, in one run on one machine. Prints a table for the README, writes JSON, and with
 * `--check` fails when a figure is worse than the committed one by more than the noise of both.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkInRows } from './check-in.ts';
import { compareWithCommitted } from './committed.ts';
import { idleRows } from './idle.ts';
import { installRows } from './install.ts';
import { packRows } from './pack.ts';
import { PAYLOADS } from './payload.ts';
import { type Row, renderTable } from './row.ts';
import { openSite, type Site } from './site.ts';
import { startRows } from './start.ts';

const CACHE = join(import.meta.dirname, '../../.cache/bench');
const COMMITTED = join(import.meta.dirname, 'committed.json');

const { values } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    /** Writes the figures as those to be held to. */
    commit: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    runs: { type: 'string', default: '9' },
  },
});

const PARTS: readonly { name: string; rows(site: Site): Promise<Row[]> }[] = [
  { name: 'start', rows: startRows },
  { name: 'idle', rows: idleRows },
  { name: 'check-in', rows: checkInRows },
  ...PAYLOADS.slice(-1).map((largest) => ({
    name: 'pack',
    rows: (site: Site) => packRows(site, largest, Number(values.runs)),
  })),
  ...PAYLOADS.flatMap((payload) =>
    (['plain', 'indexed'] as const).map((kind) => ({
      name: `install-${kind}-${payload.name}`,
      rows: (site: Site) => installRows(site, payload, kind, Number(values.runs)),
    })),
  ),
];

mkdirSync(CACHE, { recursive: true });
const scratch = mkdtempSync(join(CACHE, 'run-'));
const site = await openSite(scratch);
const rows: Row[] = [];
try {
  for (const part of PARTS.filter(({ name }) => name.includes(values.only))) {
    process.stderr.write(`measuring ${part.name}\n`);
    rows.push(...(await part.rows(site)));
  }
} finally {
  await site.close();
  rmSync(scratch, { recursive: true, force: true });
}
process.stdout.write(renderTable(rows));
writeFileSync(join(CACHE, 'bench.json'), `${JSON.stringify({ rows }, null, 2)}\n`);
if (values.commit) writeFileSync(COMMITTED, `${JSON.stringify({ rows }, null, 2)}\n`);
if (values.check) {
  const worse = compareWithCommitted(rows, JSON.parse(readFileSync(COMMITTED, 'utf8')));
  for (const line of worse) process.stderr.write(`${line}\n`);
  process.exitCode = worse.length > 0 ? 1 : 0;
}
