/**
 * `gwe list`: the installed apps.
 *
 * `--json`: {version, problem, apps: [{app, appVersion, state, uptimeSeconds, pid, exitStatus, installedAt, previous,
 * digest}]}; times are unix seconds; what is not known is null.
 */
import { type AppState, listApps } from '../agent/app-list.ts';
import type { CommandCall, CommandSpec } from './command.ts';
import { EXIT } from './exit.ts';
import { gatewayOf } from './gateway.ts';
import { JSON_OPTION } from './options.ts';
import { cell, printDocument, printTable, renderMoment, renderSpan, type Tone } from './screen.ts';

export const listCommand: CommandSpec = {
  path: ['list'],
  positionals: [],
  summary: 'List the installed apps, their versions and the state of their programs',
  options: [JSON_OPTION],
  run: runList,
};

async function runList(call: CommandCall): Promise<number> {
  const { io } = call;
  const { apps, problem } = await listApps(gatewayOf(call));
  if (call.options.has('json')) {
    printDocument(io, { problem: problem ?? null, apps: apps.map(renderApp) });
    return EXIT.ok;
  }
  if (problem !== undefined) io.stderr(`gwe: warning: states are not known: ${problem}\n`);
  if (apps.length === 0) {
    io.stdout('no apps are installed\n');
    return EXIT.ok;
  }
  const header = ['APP', 'VERSION', 'STATE', 'UPTIME', 'INSTALLED (UTC)', 'PREVIOUS'];
  printTable(io, [
    header.map((text) => cell(text, 'dim')),
    ...apps.map((app) => [
      cell(app.app),
      cell(app.version),
      cell(app.state, stateTone(app.state)),
      cell(app.uptimeMs === undefined ? '-' : renderSpan(app.uptimeMs)),
      cell(renderMoment(app.installedAtMs).slice(0, 16)),
      cell(app.previous ?? '-'),
    ]),
  ]);
  return EXIT.ok;
}

function renderApp(app: AppState) {
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
