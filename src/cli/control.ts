/**
 * `gwe start|stop|restart APP`.
 *
 * `--json`: {version, app, state, pid}; `state` is supervisord's name for it afterwards.
 */
import { startApp, stopApp } from '../agent/app-control.ts';
import { listApps } from '../agent/app-list.ts';
import type { CommandCall, CommandSpec } from './command.ts';
import { EXIT } from './exit.ts';
import { gatewayOf, patience, requireApp } from './gateway.ts';
import { stateTone } from './list.ts';
import { JSON_OPTION } from './options.ts';
import { paint, printDocument } from './screen.ts';

type Verb = 'start' | 'stop' | 'restart';

const SUMMARIES: Readonly<Record<Verb, string>> = {
  start: "Start an app's program and wait until it is up",
  stop: "Stop an app's program until it is started again, or supervisord is",
  restart: "Stop and start an app's program and wait until it is up",
};

export const startCommand = controlCommand('start');
export const stopCommand = controlCommand('stop');
export const restartCommand = controlCommand('restart');

function controlCommand(verb: Verb): CommandSpec {
  return {
    path: [verb],
    positionals: ['APP'],
    summary: SUMMARIES[verb],
    options: [JSON_OPTION],
    run: (call) => control(call, verb),
  };
}

async function control(call: CommandCall, verb: Verb): Promise<number> {
  const { io } = call;
  const context = gatewayOf(call);
  const app = requireApp(call, context);
  if (verb === 'stop') await stopApp(context, app, patience(io));
  else await startApp(context, app, verb, patience(io));
  const state = (await listApps(context)).apps.find((each) => each.app === app);
  const shown = state?.state ?? 'UNKNOWN';
  if (call.options.has('json')) printDocument(io, { app, state: shown, pid: state?.pid ?? null });
  else io.stdout(`${app}: ${paint(io, shown, stateTone(shown))}\n`);
  return EXIT.ok;
}
