import { listApps, ownState } from '../../agent/apps/app-list.ts';
import { startApp, stopApp } from '../../agent/operator/app-control.ts';
import { controlSelf } from '../../agent/operator/own-control.ts';
import { RESERVED_APP_NAME } from '../../artifact/name.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { gatewayOf, patience, requireApp } from '../shell/open-gateway.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { paint, printDocument } from '../shell/screen.ts';
import { stateTone } from './list.ts';

/**
 * `gwe start|stop|restart APP`.
 *
 * `--json`: {version, app, state, pid}; `state` is supervisord's name for it afterwards.
 */

type Verb = 'start' | 'stop' | 'restart';

const SUMMARIES: Readonly<Record<Verb, string>> = {
  start: "Start an app's program and wait until it is up",
  stop: "Stop an app's program until it, or supervisord, is started again",
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
  if (app === RESERVED_APP_NAME) await controlSelf(context, verb, patience(io));
  else if (verb === 'stop') await stopApp(context, app, patience(io));
  else await startApp(context, app, verb, patience(io));
  const state =
    app === RESERVED_APP_NAME
      ? ownState(context)
      : (await listApps(context)).apps.find((each) => each.app === app);
  const shown = state?.state ?? 'UNKNOWN';
  if (call.options.has('json')) printDocument(io, { app, state: shown, pid: state?.pid ?? null });
  else io.stdout(`${app}: ${paint(io, shown, stateTone(shown))}\n`);
  return EXIT.ok;
}
