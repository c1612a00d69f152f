/**
 * `gwe history [APP]`: the last updates and how they ended, newest last.
 *
 * `--json`: {version, updates: [{tx, app, appVersion, from, outcome, startedAt, endedAt, bytesFetched, bytesFull,
 * bytesReused, requests, fetchSeconds, code, reason}]}; times are unix seconds; what is not known is null. `outcome`
 * is one of fetch_status, or `removed`.
 */
import { type HistoryEntry, readHistory } from '../../store/history.ts';
import { LIST_OPTIONS, printListing } from '../output/listing.ts';
import { printTable } from '../output/table.ts';
import type { CommandCall, CommandIo, CommandSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { layoutOf } from '../shell/root.ts';
import { cell, printParagraph, renderBytes, renderMoment, type Tone } from '../shell/screen.ts';
import { readWholeNumber } from './logs.ts';

const DEFAULT_ENTRIES = 20;
const MOST_ENTRIES = 1000;

export const historyCommand: CommandSpec = {
  path: ['history'],
  positionals: ['[APP]'],
  summary: 'Show the last updates and how they ended',
  options: [
    { name: 'lines', short: 'n', value: 'N', help: 'how many updates', default: String(DEFAULT_ENTRIES) },
    ...LIST_OPTIONS,
  ],
  run: runHistory,
};

/** An app that is gone has a history all the same, so any name will do. */
async function runHistory(call: CommandCall): Promise<number> {
  const { io, options } = call;
  const [app] = call.positionals;
  const count = readWholeNumber(call, 'lines', DEFAULT_ENTRIES, MOST_ENTRIES);
  const all = readHistory(layoutOf(io, options));
  const mine = all.filter((entry) => app === undefined || entry.app === app);
  const entries = count === 0 ? [] : mine.slice(-count);
  const rows = entries.map(renderEntry);
  printListing(call, {
    document: { updates: rows },
    fields: FIELDS,
    rows,
    printText() {
      if (entries.length === 0) io.stdout(`no updates${app === undefined ? '' : ` of ${app}`} yet\n`);
      else printEntries(io, entries);
    },
  });
  return EXIT.ok;
}

const FIELDS = [
  'tx',
  'app',
  'appVersion',
  'from',
  'outcome',
  'startedAt',
  'endedAt',
  'bytesFetched',
  'bytesFull',
  'bytesReused',
  'requests',
  'fetchSeconds',
  'code',
  'reason',
] as const;

const COLUMNS = [
  { title: 'ENDED (UTC)', rank: 3 },
  { title: 'APP', rank: 0 },
  { title: 'VERSION', rank: 1 },
  { title: 'OUTCOME', rank: 1 },
  { title: 'FETCHED', rank: 2 },
];

function printEntries(io: CommandIo, entries: readonly HistoryEntry[]): void {
  // A reason is a sentence: it stands below the row that it belongs to.
  printTable(
    io,
    COLUMNS,
    entries.map((entry) => [
      cell(renderMoment(entry.endedAtMs)),
      cell(entry.app),
      cell(entry.from === undefined ? entry.version : `${entry.from} -> ${entry.version}`),
      cell(entry.outcome, outcomeTone(entry.outcome)),
      cell(entry.bytesFetched === 0 ? '-' : renderBytes(entry.bytesFetched)),
    ]),
  );
  for (const entry of entries) {
    if (entry.reason === undefined) continue;
    printParagraph(
      io,
      `${renderMoment(entry.endedAtMs)} ${entry.app} ${entry.version}: ${entry.reason}`,
      2,
      'dim',
    );
  }
}

function outcomeTone(outcome: string): Tone {
  if (outcome === 'installed' || outcome === 'unchanged') return 'good';
  return outcome === 'removed' ? 'plain' : 'bad';
}

function renderEntry(entry: HistoryEntry): Record<(typeof FIELDS)[number], unknown> {
  return {
    tx: entry.tx,
    app: entry.app,
    appVersion: entry.version,
    from: entry.from ?? null,
    outcome: entry.outcome,
    startedAt: Math.round(entry.startedAtMs / 1000),
    endedAt: Math.round(entry.endedAtMs / 1000),
    bytesFetched: entry.bytesFetched,
    bytesFull: entry.bytesFull ?? null,
    bytesReused: entry.bytesReused ?? null,
    requests: entry.requests ?? null,
    fetchSeconds: entry.fetchMs === undefined ? null : Math.round(entry.fetchMs / 100) / 10,
    code: entry.code ?? null,
    reason: entry.reason ?? null,
  };
}
