/** The world of a command, in memory. */
import { PassThrough } from 'node:stream';
import { createSystemClock } from '../../src/base/clock.ts';
import type { CommandIo } from '../../src/cli/shell/command.ts';

export interface TestIo {
  io: CommandIo;
  stdout(): string;
  stderr(): string;
}

export function createTestIo(cwd: string, input = '', overrides: Partial<CommandIo> = {}): TestIo {
  const out: string[] = [];
  const err: string[] = [];
  const stdin = new PassThrough();
  stdin.end(input);
  const io: CommandIo = {
    stdout: (text) => void out.push(text),
    stderr: (text) => void err.push(text),
    stdin,
    env: process.env,
    cwd: () => cwd,
    isTerminal: false,
    columns: 80,
    signal: new AbortController().signal,
    clock: createSystemClock(),
    ...overrides,
  };
  return { io, stdout: () => out.join(''), stderr: () => err.join('') };
}
