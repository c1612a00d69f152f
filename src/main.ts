/** Entry: argv, signals and the exit status; the one caller of process.exit. */
import type { ProcessControl } from './agent/handover.ts';
import { WOKEN_VARIABLE } from './agent/idle-script.ts';
import { createSystemClock } from './base/clock.ts';
import { ownExecutable } from './base/execve.ts';
import { takeOverProcess } from './base/startup.ts';
import type { CommandIo } from './cli/command.ts';
import { dispatch } from './cli/dispatch.ts';

function main(): void {
  const refusal = takeOverProcess();
  if (refusal !== undefined) {
    process.stderr.write(`${refusal}\n`);
    process.exit(2);
  }
  const stop = new AbortController();
  const control = controlSignals(stop);
  // A reader that goes away (`gwe --help | head -1`) is no error of ours.
  process.stdout.on('error', () => process.exit(0));
  process.stderr.on('error', () => stop.abort());
  const io: CommandIo = {
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    stdin: process.stdin,
    env: process.env,
    cwd: process.cwd(),
    isTerminal: process.stdout.isTTY === true,
    ...(process.stderr.isTTY === true ? { terminal: process.stderr } : {}),
    columns: process.stdout.columns ?? process.stderr.columns ?? 80,
    signal: stop.signal,
    clock: createSystemClock(),
  };
  dispatch(process.argv.slice(2), io, { control }).then(
    (status) => process.exit(status),
    (error: unknown) => {
      process.stderr.write(`gwe: ${String(error)}\n`);
      process.exit(1);
    },
  );
}

/** SIGTERM and SIGINT stop gwe. SIGHUP ends it as usual until somebody wants to be woken by it. */
function controlSignals(stop: AbortController): ProcessControl {
  const end = (): void => stop.abort();
  // It checks in before anything else: what SIGHUP asks for is on its way.
  const isWoken = process.env[WOKEN_VARIABLE] !== undefined;
  const listen = (name: NodeJS.Signals, heard: () => void): void => {
    if (process.listenerCount(name) === 0) process.on(name, heard);
  };
  let wake: (() => void) | undefined;
  const control: ProcessControl = {
    command: commandLine(),
    onWake(wanted) {
      wake = wanted;
      control.holdSignals();
    },
    releaseSignals() {
      for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.removeAllListeners(name);
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

main();
