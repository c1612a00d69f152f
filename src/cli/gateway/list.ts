/**
 * `gwe list`: the installed apps.
 *
 * `--json`: {version, problem, apps: [{app, appVersion, state, uptimeSeconds, pid, exitStatus, installedAt, previous,
 * digest}]}; times are unix seconds; what is not known is null.
 */
import { type AppState, listApps } from '../../agent/apps/app-list.ts';
import { LIST_OPTIONS, printListing } from '../output/listing.ts';
import { printTable } from '../output/table.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { gatewayOf } from '../shell/open-gateway.ts';
import { type Cell, cell, renderMoment, renderSpan, type Tone } from '../shell/screen.ts';

export const listCommand: CommandSpec = {
  path: ['list'],
  positionals: [],
  summary: 'List the installed apps, their versions and the state of their programs',
  options: LIST_OPTIONS,
  run: runList,
};

async function runList(call: CommandCall): Promise<number> {
  const { io } = call;
  const { apps, problem } = await listApps(gatewayOf(call));
  const rows = apps.map(renderApp);
  const document = { problem: problem ?? null, apps: rows };
  printListing(call, {
    document,
    fields: FIELDS,
    rows,
    printText() {
      if (problem !== undefined) io.stderr(`gwe: warning: the states are unknown: ${problem}\n`);
      if (apps.length === 0) io.stdout('no apps are installed\n');
      else printTable(io, COLUMNS, apps.map(renderRow));
    },
  });
  return EXIT.ok;
}

const FIELDS = [
  'app',
  'appVersion',
  'state',
  'uptimeSeconds',
  'pid',
  'exitStatus',
  'installedAt',
  'previous',
  'digest',
] as const;

const COLUMNS = [
  { title: 'APP', rank: 0 },
  { title: 'VERSION', rank: 1 },
  { title: 'STATE', rank: 1 },
  { title: 'UPTIME', rank: 3 },
  { title: 'INSTALLED (UTC)', rank: 4 },
  { title: 'PREVIOUS', rank: 2 },
];

function renderRow(app: AppState): Cell[] {
  return [
    cell(app.app),
    cell(app.version),
    cell(app.state, stateTone(app.state)),
    cell(app.uptimeMs === undefined ? '-' : renderSpan(app.uptimeMs)),
    cell(renderMoment(app.installedAtMs).slice(0, 16)),
    cell(app.previous ?? '-'),
  ];
}

function renderApp(app: AppState): Record<(typeof FIELDS)[number], unknown> {
  return {
    app: app.app,
    appVersion: app.version,
    state: app.state,
    uptimeSeconds: app.uptimeMs === undefined ? null : Math.round(app.uptimeMs / 1000),
    pid: app.pid ?? null,
    exitStatus: app.exitStatus ?? null,
    installedAt: Math.round(app.installedAtMs / 1000),
    previous: app.previous ?? null,
    digest: app.digest,
  };
}

export function stateTone(state: string): Tone {
  if (state === 'RUNNING') return 'good';
  return ['FATAL', 'BACKOFF', 'EXITED'].includes(state) ? 'bad' : 'plain';
}
