/** gwe as a person types it: a process on a root of its own, with or without a terminal. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type CommandResult, FROM_SOURCE } from './gateway.ts';
import { removeRoot } from './remove-root.ts';

export interface CommandLine {
  root: string;
  /** The working directory of the commands. */
  cwd: string;
  env: Record<string, string>;
  gwe(...args: string[]): CommandResult;
  /** As `gwe`, but lets this process go on: for what it serves itself. */
  start(...args: string[]): Promise<CommandResult>;
  /** The same on a terminal of 80 columns; stdout holds what the terminal was sent. */
  onTerminal(args: readonly string[], input?: string): CommandResult;
  json(...args: string[]): Record<string, unknown>;
  /** Writes a file below the working directory and returns its path. */
  file(name: string, content: string | Buffer, mode?: number): string;
  remove(): void;
}

const SCRIPT = '/usr/bin/script';

export function createCommandLine(
  command: readonly string[] = FROM_SOURCE,
  settings: Readonly<Record<string, string | number>> = {},
): CommandLine {
  const root = mkdtempSync(join(tmpdir(), 'gwe-cli-'));
  const cwd = join(root, 'home');
  mkdirSync(cwd);
  const env: Record<string, string> = { PATH: process.env.PATH ?? '', HOME: cwd, GWE_ROOT: root };
  const [program = '', ...first] = command;
  const run = (file: string, args: readonly string[], input = ''): CommandResult => {
    const options = { cwd, env, input, encoding: 'utf8', timeout: 60_000 } as const;
    const { status, stdout, stderr } = spawnSync(file, args, options);
    return { status, stdout, stderr };
  };
  const gwe = (...args: string[]): CommandResult => run(program, [...first, ...args]);
  const file = (name: string, content: string | Buffer, mode = 0o644): string => {
    const path = join(cwd, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content, { mode });
    return path;
  };
  mkdirSync(join(root, 'etc/gwe'), { recursive: true });
  const lines = Object.entries({ settle_time: 1, start_deadline: 20, ...settings });
  writeFileSync(
    join(root, 'etc/gwe/Engine.config'),
    `[engine]\n${lines.map(([key, value]) => `${key} = ${value}\n`).join('')}`,
  );
  return {
    root,
    cwd,
    env,
    gwe,
    file,
    start: (...args) =>
      new Promise((resolve) => {
        execFile(program, [...first, ...args], { cwd, env, timeout: 60_000 }, (error, stdout, stderr) => {
          resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
        });
      }),
    onTerminal(args, input = '') {
      if (!existsSync(SCRIPT)) throw new Error(`${SCRIPT} is not installed: apt-get install bsdutils`);
      const words = [program, ...first, ...args].map(shellQuote).join(' ');
      return run(SCRIPT, ['-qec', `stty cols 80 rows 24; exec ${words}`, '/dev/null'], input);
    },
    json: (...args) => JSON.parse(gwe(...args).stdout) as Record<string, unknown>,
    remove: () => removeRoot(root),
  };
}

function shellQuote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

const ESCAPE = String.fromCharCode(27);

/** Every state that a line of the terminal went through, without colours. */
export function drawnLines(sent: string): string[] {
  const escapes = new RegExp(`${ESCAPE}(?:\\[[0-9;?]*[A-Za-z]|[78])`, 'g');
  return sent
    .replaceAll(`${ESCAPE}[1G`, '\r')
    .split(/[\r\n]/)
    .map((line) => line.replace(escapes, ''))
    .filter((line) => line !== '');
}

/** The lines that a terminal ends up showing: what is drawn over counts once. */
export function screenLines(sent: string): string[] {
  return sent
    .replaceAll(`${ESCAPE}[1G`, '\r')
    .split('\n')
    .map((line) => drawnLines(line.replace(/\r+$/, '').split('\r').at(-1) ?? '').join(''))
    .filter((line) => line !== '');
}
