/** Entry: argv, signals and the exit status; the one caller of process.exit. */
import { createSystemClock } from './base/clock.ts';
import { describeError } from './base/errors.ts';
import { findExecve } from './base/execve.ts';
import { hasReaderGone, mayBeTerminal, type OutputFd, writeOutput } from './base/output.ts';
import { takeOverProcess } from './base/startup.ts';
import { dispatch } from './cli/dispatch.ts';
import type { CommandIo } from './cli/shell/command.ts';
import { EXIT } from './cli/shell/exit.ts';
import { controlProcess } from './cli/shell/process-control.ts';
import { believeColumns } from './cli/shell/screen.ts';

function main(): void {
  const refusal = takeOverProcess(process.argv.slice(2));
  if (refusal !== undefined) {
    tell(2, `${refusal}\n`, () => undefined);
    process.exit(2);
  }
  const stop = new AbortController();
  const control = controlProcess(stop, () => process.exit(EXIT.interrupted));
  const end = (status: number): void => exit(withSignal(status, control.stoppedBy()));
  dispatch(process.argv.slice(2), createIo(stop), { control }).then(end, (error: unknown) => {
    tell(2, `gwe: ${String(error)}\n`, () => undefined);
    exit(1);
  });
}

/** What was not done because of a signal has the status that a shell gives to a program that the signal has ended. */
function withSignal(status: number, signal: 'SIGINT' | 'SIGTERM' | undefined): number {
  if (status === EXIT.ok || signal === undefined) return status;
  return signal === 'SIGINT' ? EXIT.interrupted : EXIT.terminated;
}

/**
 * The runtime's own exit waits for a name that is being looked up, which may take half a minute without a name server:
 * then another program takes the place of this one, or a signal ends it where that cannot be done.
 */
function exit(status: number): void {
  if (process.getActiveResourcesInfo().includes('GetAddrInfoReqWrap')) {
    try {
      findExecve()?.('/bin/sh', ['sh', '-c', 'exit "$1"', 'sh', String(status)], {});
    } catch {
      // No shell here.
    }
    process.kill(process.pid, 'SIGKILL');
  }
  process.exit(status);
}

/**
 * What the runtime has of the standard streams is asked for when somebody wants to know: it takes milliseconds to
 * load.
 */
function createIo(stop: AbortController): CommandIo {
  const isTerminal = (fd: OutputFd): boolean =>
    mayBeTerminal(fd) && (fd === 1 ? process.stdout : process.stderr).isTTY === true;
  return {
    // A reader that goes away (`gwe --help | head -1`) is no error of ours.
    stdout: (text) => tell(1, text, endWithoutOutput),
    stderr: (text) => tell(2, text, () => stop.abort()),
    get stdin() {
      return process.stdin;
    },
    env: process.env,
    cwd: () => process.cwd(),
    get isTerminal() {
      return isTerminal(1);
    },
    get terminal() {
      return isTerminal(2) ? process.stderr : undefined;
    },
    get columns() {
      if (isTerminal(1)) return believeColumns(process.stdout.columns);
      return believeColumns(isTerminal(2) ? process.stderr.columns : undefined);
    },
    get rows() {
      return isTerminal(1) ? process.stdout.rows : undefined;
    },
    signal: stop.signal,
    clock: createSystemClock(),
  };
}

function endWithoutOutput(error: unknown): void {
  if (hasReaderGone(error)) process.exit(EXIT.ok);
  tell(2, `gwe: cannot write to standard output: ${describeError(error)}\n`, () => undefined);
  process.exit(EXIT.failed);
}

function tell(fd: OutputFd, text: string, failed: (error: unknown) => void): void {
  try {
    writeOutput(fd, text);
  } catch (error) {
    failed(error);
  }
}

main();
