/** Entry: argv, signals and the exit status; the one caller of process.exit. */
import { createSystemClock } from './base/clock.ts';
import { takeOverProcess } from './base/startup.ts';
import type { CommandIo } from './cli/command.ts';
import { dispatch } from './cli/dispatch.ts';
import { controlProcess } from './cli/process-control.ts';

function main(): void {
  const refusal = takeOverProcess();
  if (refusal !== undefined) {
    process.stderr.write(`${refusal}\n`);
    process.exit(2);
  }
  const stop = new AbortController();
  const control = controlProcess(stop);
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

main();
