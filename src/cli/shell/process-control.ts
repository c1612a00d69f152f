/** The signals of this process and its command line, for the agent. */
import type { ProcessControl } from '../../agent/idle/handover.ts';
import { WOKEN_VARIABLE } from '../../agent/idle/idle-script.ts';
import { ownExecutable } from '../../base/execve.ts';
import { readTrappedSignals } from '../../base/trapped-signals.ts';

/** The same on every Linux; node:os would be loaded for these alone. */
const [SIGHUP, SIGINT, SIGTERM] = [1, 2, 15];

interface StoppableProcess extends ProcessControl {
  /** The signal that was the first to end it. */
  stoppedBy(): 'SIGINT' | 'SIGTERM' | undefined;
}

/**
 * SIGTERM and SIGINT abort `stop`; for a second SIGINT `endNow` is called, whatever has not listened to the first:
 * what is in the middle is finished by the next gwe. SIGHUP ends gwe as usual until a handler for waking is set.
 */
export function controlProcess(stop: AbortController, endNow: () => void): StoppableProcess {
  let stoppedBy: 'SIGINT' | 'SIGTERM' | undefined;
  const end = (signal: 'SIGINT' | 'SIGTERM'): void => {
    if (stoppedBy === 'SIGINT' && signal === 'SIGINT') endNow();
    stoppedBy ??= signal;
    stop.abort();
  };
  // It checks in before anything else, which is what SIGHUP requests.
  const isWoken = process.env[WOKEN_VARIABLE] !== undefined;
  const listen = (name: NodeJS.Signals, heard: () => void): void => {
    if (process.listenerCount(name) === 0) process.on(name, heard);
  };
  let wake: (() => void) | undefined;
  const control: StoppableProcess = {
    stoppedBy: () => stoppedBy,
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
        if (number === SIGTERM) end('SIGTERM');
        if (number === SIGINT) end('SIGINT');
      }
    },
    holdSignals() {
      listen('SIGTERM', () => end('SIGTERM'));
      listen('SIGINT', () => end('SIGINT'));
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
