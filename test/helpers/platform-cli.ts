/** Runs a platform command in this process, as the dispatcher would, and keeps what it printed. */
import { Readable } from 'node:stream';
import { createSystemClock } from '../../src/base/clock.ts';
import { fleetCommands } from '../../src/cli/fleet/fleet.ts';
import { serverOperatorCommands } from '../../src/cli/fleet/fleet-people.ts';
import { workerCommand } from '../../src/cli/fleet/patch-worker.ts';
import { platformCommands } from '../../src/cli/platform/platform.ts';
import type { CommandSpec } from '../../src/cli/shell/command.ts';
import { parseArguments } from '../../src/cli/shell/parse.ts';

export interface CliRun {
  status: number;
  stdout: string;
  stderr: string;
}

export interface CliOptions {
  env?: Record<string, string>;
  signal?: AbortSignal;
  cwd?: string;
  onStdout?(text: string): void;
}

/** Rejects with the GweError of the command, if it has one. */
export async function runPlatformCli(words: readonly string[], options: CliOptions = {}): Promise<CliRun> {
  const spec = findSpec(words);
  const parsed = parseArguments(words.slice(spec.path.length), spec.options);
  const result: CliRun = { status: -1, stdout: '', stderr: '' };
  result.status = await spec.run({
    ...parsed,
    io: {
      stdout: (text) => {
        result.stdout += text;
        options.onStdout?.(text);
      },
      stderr: (text) => {
        result.stderr += text;
      },
      stdin: Readable.from([]),
      env: options.env ?? {},
      cwd: () => options.cwd ?? process.cwd(),
      isTerminal: false,
      columns: 80,
      signal: options.signal ?? new AbortController().signal,
      clock: createSystemClock(),
    },
  });
  return result;
}

function findSpec(words: readonly string[]): CommandSpec {
  const specs = [...platformCommands, ...fleetCommands, ...serverOperatorCommands, workerCommand];
  const spec = specs.find((each) => each.path.every((word, index) => words[index] === word));
  if (spec === undefined) throw new Error(`no command ${words.join(' ')}`);
  return spec;
}
