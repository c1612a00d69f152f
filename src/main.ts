/** Entry: argv, signals and the exit status; the one caller of process.exit. */
import { createSystemClock } from './base/clock.ts';
import { hasReaderGone, mayBeTerminal, type OutputFd, writeOutput } from './base/output.ts';
import { takeOverProcess } from './base/startup.ts';
import type { CommandIo } from './cli/command.ts';
import { dispatch } from './cli/dispatch.ts';
import { controlProcess } from './cli/process-control.ts';

function main(): void {
  const refusal = takeOverProcess(process.argv.slice(2));
  if (refusal !== undefined) {
    tell(2, `${refusal}\n`, () => undefined);
    process.exit(2);
  }
  const stop = new AbortController();
  const control = controlProcess(stop);
  dispatch(process.argv.slice(2), createIo(stop), { control }).then(
    (status) => process.exit(status),
    (error: unknown) => {
      tell(2, `gwe: ${String(error)}\n`, () => undefined);
      process.exit(1);
    },
  );
}

/** What the runtime has of the standard streams is asked for when somebody wants to know: it takes milliseconds to load. */
function createIo(stop: AbortController): CommandIo {
  const isTerminal = (fd: OutputFd): boolean =>
    mayBeTerminal(fd) && (fd === 1 ? process.stdout : process.stderr).isTTY === true;
  return {
    // A reader that goes away (`gwe --help | head -1`) is no error of ours.
    stdout: (text) => tell(1, text, (error) => process.exit(hasReaderGone(error) ? 0 : 1)),
    stderr: (text) => tell(2, text, () => stop.abort()),
    get stdin() {
      return process.stdin;
    },
    env: process.env,
    cwd: process.cwd(),
    get isTerminal() {
      return isTerminal(1);
    },
    get terminal() {
      return isTerminal(2) ? process.stderr : undefined;
    },
    get columns() {
      if (isTerminal(1)) return process.stdout.columns;
      return isTerminal(2) ? process.stderr.columns : 80;
    },
    signal: stop.signal,
    clock: createSystemClock(),
  };
}

function tell(fd: OutputFd, text: string, failed: (error: unknown) => void): void {
  try {
    writeOutput(fd, text);
  } catch (error) {
    failed(error);
  }
}

main();
