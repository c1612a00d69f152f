/** The signals of this process and its command line, for the agent. */
import type { ProcessControl } from '../agent/handover.ts';
import { WOKEN_VARIABLE } from '../agent/idle-script.ts';
import { ownExecutable } from '../base/execve.ts';
import { readTrappedSignals } from '../base/trapped-signals.ts';

/** The same on every Linux; node:os would be loaded for these alone. */
const [SIGHUP, SIGINT, SIGTERM] = [1, 2, 15];

/** SIGTERM and SIGINT abort `stop`. SIGHUP ends gwe as usual until somebody wants to be woken by it. */
export function controlProcess(stop: AbortController): ProcessControl {
  const end = (): void => stop.abort();
  // It checks in before anything else: what SIGHUP asks for is on its way.
  const isWoken = process.env[WOKEN_VARIABLE] !== undefined;
  const listen = (name: NodeJS.Signals, heard: () => void): void => {
    if (process.listenerCount(name) === 0) process.on(name, heard);
  };
  let wake: (() => void) | undefined;
  const control: ProcessControl = {
    // Asked for by who hands over: to find out takes loading more of the runtime than most commands need.
    get command() {
      return commandLine();
    },
    onWake(wanted) {
      wake = wanted;
      control.holdSignals();
    },
    releaseSignals() {
      for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.removeAllListeners(name);
      for (const number of readTrappedSignals()) {
        if (number === SIGHUP) wake?.();
        if (number === SIGTERM || number === SIGINT) end();
      }
    },
    holdSignals() {
      listen('SIGTERM', end);
      listen('SIGINT', end);
      if (isWoken || wake !== undefined) listen('SIGHUP', () => wake?.());
    },
  };
  control.holdSignals();
  return control;
}

function commandLine(): string[] | undefined {
  const executable = ownExecutable();
  return executable === undefined ? undefined : [executable, ...process.argv.slice(2)];
}
