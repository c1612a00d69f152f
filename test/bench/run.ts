/**
 * `make bench`: gwe against its peers, in one run on one machine. Prints a table, writes JSON, and with `--check` fails
 * when a figure is worse than the committed one by more than the noise of both, also when it is measured again.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { compareWithCommitted, mergeRows } from './committed.ts';
import { listParts, type Part } from './parts.ts';
import { withFigures } from './readme.ts';
import { type Row, renderPeers, renderTable } from './row.ts';
import { openSite } from './site.ts';

const REPOSITORY = join(import.meta.dirname, '../..');
const CACHE = join(REPOSITORY, '.cache/bench');
const LAST = join(CACHE, 'bench.json');
const COMMITTED = join(import.meta.dirname, 'committed.json');

const { values } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    /** Writes the figures as those to be held to. */
    commit: { type: 'boolean', default: false },
    /** Writes them into test/bench/README.md. */
    readme: { type: 'boolean', default: false },
    /** Measures nothing: takes the figures of the last run. */
    last: { type: 'boolean', default: false },
    /** Parts whose name has this in it; the other figures stay as they were. */
    only: { type: 'string', default: '' },
    runs: { type: 'string' },
  },
});

async function measure(parts: readonly Part[]): Promise<{ part: Part; rows: Row[] }[]> {
  const scratch = mkdtempSync(join(CACHE, 'run-'));
  const site = await openSite(scratch);
  const measured = [];
  try {
    for (const part of parts) {
      process.stderr.write(`measuring ${part.name}\n`);
      const rows = await part.rows(site);
      measured.push({ part, rows });
      // What follows may fail.
      write(LAST, mergeRows(read(LAST).rows, rows));
    }
  } finally {
    await site.close();
    rmSync(scratch, { recursive: true, force: true });
  }
  return measured;
}

function read(path: string): { rows: Row[] } {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : { rows: [] };
}

function write(path: string, rows: readonly Row[]): void {
  writeFileSync(path, `${JSON.stringify({ rows }, null, 2)}\n`);
}

/** One line for each row that is worse; what is worse at first is measured once more before it counts. */
async function worseRows(measured: readonly { part: Part; rows: Row[] }[]): Promise<string[]> {
  const committed = read(COMMITTED);
  const suspect = measured.filter(({ rows }) => compareWithCommitted(rows, committed).length > 0);
  for (const { rows } of suspect)
    for (const { line } of compareWithCommitted(rows, committed)) process.stderr.write(`worse: ${line}\n`);
  const again = suspect.length === 0 ? [] : await measure(suspect.map(({ part }) => part));
  return again.flatMap(({ rows }, index) => {
    const before = new Set(compareWithCommitted(suspect[index]?.rows ?? [], committed).map(({ key }) => key));
    return compareWithCommitted(rows, committed).flatMap(({ key, line }) => (before.has(key) ? [line] : []));
  });
}

mkdirSync(CACHE, { recursive: true });
const parts = listParts(values.runs === undefined ? undefined : Number(values.runs));
const measured = values.last ? [] : await measure(parts.filter(({ name }) => name.includes(values.only)));
const isAll = values.only === '' && !values.last;
const fresh = measured.flatMap(({ rows }) => rows);
const rows = isAll ? fresh : mergeRows(read(LAST).rows, fresh);
const shown = values.last ? rows : fresh;
process.stdout.write(`${renderTable(shown)}\n${renderPeers(shown)}`);
write(LAST, rows);
if (values.commit) write(COMMITTED, isAll ? rows : mergeRows(read(COMMITTED).rows, shown));
if (values.readme) {
  const path = join(REPOSITORY, 'test/bench/README.md');
  writeFileSync(path, withFigures(readFileSync(path, 'utf8'), rows));
}
if (values.check) {
  const worse = await worseRows(measured);
  for (const line of worse) process.stderr.write(`worse twice: ${line}\n`);
  process.exitCode = worse.length > 0 ? 1 : 0;
}
