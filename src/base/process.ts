/** The only module that starts processes. Always an argument array, never a shell string. */
import { type ChildProcess, type StdioOptions, spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { Writable } from 'node:stream';
import type { Clock } from './clock.ts';
import { GweError, systemCode } from './errors.ts';

/** How a child ended; exactly one of these. */
type ProcessEnd =
  | { kind: 'exit'; code: number }
  | { kind: 'signal'; signal: string }
  | { kind: 'timeout'; afterMs: number }
  | { kind: 'cancelled' };

interface RunOptions {
  /** `/` by default: the directory that gwe was started in may be gone, and many programs end then. */
  cwd?: string;
  /** The whole environment of the child: nothing is inherited unless it is in here. */
  env: Readonly<Record<string, string>>;
  timeoutMs: number;
  /** How long a group may live after SIGTERM before it gets SIGKILL. */
  graceMs?: number;
  /** Combined stdout and stderr kept: the first and last halves of this many bytes. */
  captureBytes: number;
  signal?: AbortSignal;
  clock: Clock;
}

export interface RunResult {
  end: ProcessEnd;
  output: string;
  /** Bytes printed that `output` leaves out. */
  droppedBytes: number;
  durationMs: number;
}

const DRAIN_MS = 500;

/**
 * Runs `argv` in a process group of its own, captures stdout and stderr interleaved, and comes back only when the
 * whole group is gone. Never throws for what the child does; throws INSTALL_FAILED if it cannot be started.
 */
export async function runProcess(argv: readonly string[], options: RunOptions): Promise<RunResult> {
  const [command, ...args] = argv;
  if (command === undefined) throw new GweError('INSTALL_FAILED', 'cannot start a process: no command given');
  const startedMs = options.clock.monotonicMs();
  const capture = createCapture(options.captureBytes);
  const stdio: StdioOptions = ['ignore', 'pipe', 'pipe'];
  const { cwd = '/', env } = options;
  const child = spawn(command, args, { cwd, env: { ...env }, stdio, detached: true });
  child.stdout?.on('data', capture.add);
  child.stderr?.on('data', capture.add);
  const pid = await started(child, command);
  const end = await waitForEnd(child, pid, options);
  await endGroup(pid, options.graceMs ?? 2000, options.clock);
  await drained(child, options.clock);
  child.stdout?.destroy();
  child.stderr?.destroy();
  return {
    end,
    ...capture.result(),
    durationMs: Math.round(options.clock.monotonicMs() - startedMs),
  };
}

/**
 * Runs `argv` for a person at a terminal: stdin and stderr are ours, its stdout goes to our stderr, so that our own
 * stdout stays clean. SIGTERM when `signal` aborts. Throws INSTALL_FAILED if it cannot be started.
 */
export async function runInteractive(
  argv: readonly [string, ...string[]],
  options: { cwd: string; env: Readonly<Record<string, string | undefined>>; signal?: AbortSignal },
): Promise<ProcessEnd> {
  const [command, ...args] = argv;
  const child = spawn(command, args, { cwd: options.cwd, env: { ...options.env }, stdio: [0, 2, 2] });
  const exited = new Promise<ProcessEnd>((resolve) => {
    child.once('exit', (code, signal) =>
      resolve(code === null ? { kind: 'signal', signal: signal ?? 'unknown' } : { kind: 'exit', code }),
    );
  });
  await started(child, command);
  const stop = (): boolean => child.kill('SIGTERM');
  options.signal?.addEventListener('abort', stop, { once: true });
  if (options.signal?.aborted) stop();
  const end = await exited;
  options.signal?.removeEventListener('abort', stop);
  return options.signal?.aborted ? { kind: 'cancelled' } : end;
}

/**
 * Gives `text` to a program that shows it on our terminal, and waits for its end. False if there is no such program.
 */
export function showByProgram(
  argv: readonly [string, ...string[]],
  text: string,
  env: Readonly<Record<string, string | undefined>>,
): boolean {
  const [command, ...args] = argv;
  const { error } = spawnSync(command, args, {
    input: text,
    stdio: ['pipe', 'inherit', 'inherit'],
    env: { ...env },
  });
  // One that was left before the end (EPIPE) has shown what was wanted.
  return error === undefined || !['ENOENT', 'EACCES'].includes(systemCode(error) ?? '');
}

/** A process that lives on without gwe. */
export interface DetachedProcess {
  pid: number;
  /** Its stdin, where `stdin` is `pipe`. */
  stdin: Writable | null;
  /** Resolves when it ends while gwe is still there. */
  exited: Promise<void>;
}

/**
 * Starts `argv` in a session of its own with the descriptors `files` as 1, 2, ... Whoever ends gwe does not end it.
 * Throws INSTALL_FAILED if it cannot be started.
 */
export async function startDetached(
  argv: readonly [string, ...string[]],
  options: {
    cwd: string;
    env: Readonly<Record<string, string>>;
    stdin: 'pipe' | number;
    files: readonly (number | 'ignore')[];
    /** Whom it runs as, without further groups; needs root. Default: the user that gwe has. */
    user?: { uid: number; gid: number } | undefined;
  },
): Promise<DetachedProcess> {
  const [command, ...args] = argv;
  const { cwd, env, stdin, files, user } = options;
  const stdio: StdioOptions = [stdin, ...files];
  const child = spawn(command, args, { cwd, env: { ...env }, stdio, detached: true, ...user });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  // Its end may come before what gwe writes to it.
  child.stdin?.on('error', () => undefined);
  const pid = await started(child, command);
  return { pid, stdin: child.stdin, exited };
}

/** Makes a named pipe, which Node cannot. Throws INSTALL_FAILED where the gateway has no mkfifo, or no room for one. */
export function makeFifo(path: string, env: Readonly<Record<string, string>>): void {
  const made = spawnSync('mkfifo', ['-m', '600', path], {
    env: { ...env },
    encoding: 'utf8',
    timeout: 10_000,
  });
  if (made.status === 0) return;
  const found = made.error?.message ?? made.stderr.trim().slice(0, 300);
  throw new GweError('INSTALL_FAILED', `cannot make the pipe '${path}' for the output of a script: ${found}`);
}

/**
 * Runs `argv` as a filter: `input` is its stdin, stderr is ours, and its stdout comes back, up to `limitBytes` (more
 * ends it by SIGPIPE or SIGTERM). Throws INSTALL_FAILED if it cannot be started.
 */
export async function runFilter(
  argv: readonly [string, ...string[]],
  options: {
    cwd: string;
    env: Readonly<Record<string, string | undefined>>;
    input: Buffer;
    limitBytes: number;
    signal?: AbortSignal;
  },
): Promise<{ end: ProcessEnd; output: Buffer }> {
  const [command, ...args] = argv;
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...options.env },
    stdio: ['pipe', 'pipe', 2],
  });
  const closed = new Promise<ProcessEnd>((resolve) => {
    child.once('close', (code, signal) =>
      resolve(code === null ? { kind: 'signal', signal: signal ?? 'unknown' } : { kind: 'exit', code }),
    );
  });
  const chunks: Buffer[] = [];
  let leftBytes = options.limitBytes;
  child.stdout?.on('data', (chunk: Buffer) => {
    chunks.push(chunk.subarray(0, leftBytes));
    leftBytes -= Math.min(leftBytes, chunk.length);
    if (leftBytes === 0) child.kill('SIGTERM');
  });
  // A filter may end without reading: what became of it shows in how it ended.
  child.stdin?.on('error', () => undefined);
  await started(child, command);
  child.stdin?.end(options.input);
  const stop = (): boolean => child.kill('SIGTERM');
  options.signal?.addEventListener('abort', stop, { once: true });
  const end = await closed;
  options.signal?.removeEventListener('abort', stop);
  return { end: options.signal?.aborted ? { kind: 'cancelled' } : end, output: Buffer.concat(chunks) };
}

/** Waits for the rest of the output; a daemon that left the group may hold the pipe open forever, so not for long. */
async function drained(child: ChildProcess, clock: Clock): Promise<void> {
  const done = new AbortController();
  child.once('close', () => done.abort());
  if (child.stdout?.readableEnded === true && child.stderr?.readableEnded === true) return;
  await clock.sleep(DRAIN_MS, done.signal);
}

function started(child: ChildProcess, command: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('spawn', () => resolve(child.pid ?? 0));
    child.once('error', (error) =>
      reject(
        new GweError('INSTALL_FAILED', `cannot start '${command}': ${startFault(error)}`, { cause: error }),
      ),
    );
  });
}

function startFault(error: Error): string {
  switch (systemCode(error)) {
    case 'ENOENT':
      return 'it, or the interpreter in its first line, does not exist';
    case 'EACCES':
      return 'permission denied (x bit missing, or a file system mounted noexec)';
    case 'ENOEXEC':
      return 'not an executable format (first line needs #!/bin/sh)';
    default:
      return error.message;
  }
}

async function waitForEnd(child: ChildProcess, pid: number, options: RunOptions): Promise<ProcessEnd> {
  const settled = new AbortController();
  const exited = new Promise<ProcessEnd>((resolve) => {
    child.once('exit', (code, signal) =>
      resolve(code === null ? { kind: 'signal', signal: signal ?? 'unknown' } : { kind: 'exit', code }),
    );
  });
  const timedOut = options.clock
    .sleep(options.timeoutMs, settled.signal)
    .then((): ProcessEnd => ({ kind: 'timeout', afterMs: options.timeoutMs }));
  const cancelled = new Promise<ProcessEnd>((resolve) => {
    options.signal?.addEventListener('abort', () => resolve({ kind: 'cancelled' }), {
      signal: settled.signal,
    });
    if (options.signal?.aborted) resolve({ kind: 'cancelled' });
  });
  const end = await Promise.race([exited, timedOut, cancelled]);
  if (end.kind === 'timeout' || end.kind === 'cancelled')
    await endGroup(pid, options.graceMs ?? 2000, options.clock);
  settled.abort();
  return end;
}

/** SIGTERM, a grace period, SIGKILL, until no process of group `pgid` is left. Returns how many there were. */
async function endGroup(pgid: number, graceMs: number, clock: Clock): Promise<number> {
  const before = groupMembers(pgid).length;
  if (before === 0) return 0;
  signalGroup(pgid, 'SIGTERM');
  const killAtMs = clock.monotonicMs() + graceMs;
  while (groupMembers(pgid).length > 0) {
    if (clock.monotonicMs() >= killAtMs) signalGroup(pgid, 'SIGKILL');
    await clock.sleep(20);
  }
  return before;
}

function signalGroup(pgid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pgid, signal);
  } catch (error) {
    if (systemCode(error) !== 'ESRCH') throw error;
  }
}

/** Pids of the living (not zombie) members of a process group, from /proc. */
export function groupMembers(pgid: number): number[] {
  return livingProcesses()
    .filter((stat) => stat.pgid === pgid)
    .map((stat) => stat.pid);
}

/** Every process that is there and no zombie, from /proc. */
export function livingProcesses(): ProcessStat[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readProcessStat(Number(name)))
    .filter((stat) => stat !== undefined)
    .filter(isLiving);
}

export function isLiving({ state }: ProcessStat): boolean {
  return state !== 'Z' && state !== 'X';
}

export interface ProcessStat {
  pid: number;
  state: string;
  ppid: number;
  pgid: number;
  session: number;
  /** Clock ticks after boot at which it started: with the boot id, a pid's identity. */
  startTicks: string;
}

/** Facts of /proc/PID/stat (proc(5)), or `undefined` when there is no such process. */
export function readProcessStat(pid: number): ProcessStat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state = '?', ppid, pgid, session] = fields;
  return {
    pid,
    state,
    ppid: Number(ppid),
    pgid: Number(pgid),
    session: Number(session),
    startTicks: fields[19] ?? '0',
  };
}

/** The kernel's id of this boot. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return 'unknown';
  }
}

function createCapture(limitBytes: number) {
  const headLimit = Math.floor(limitBytes / 2);
  const tailLimit = limitBytes - headLimit;
  const head: Buffer[] = [];
  let headBytes = 0;
  let tail = Buffer.alloc(0);
  let totalBytes = 0;
  return {
    add(chunk: Buffer): void {
      totalBytes += chunk.length;
      const room = Math.max(0, headLimit - headBytes);
      if (room > 0) head.push(Buffer.from(chunk.subarray(0, room)));
      headBytes += Math.min(room, chunk.length);
      const rest = chunk.subarray(Math.min(room, chunk.length)).subarray(-tailLimit);
      if (rest.length > 0) tail = Buffer.concat([tail, rest]).subarray(-tailLimit);
    },
    result(): { output: string; droppedBytes: number } {
      const droppedBytes = totalBytes - headBytes - tail.length;
      const marker = droppedBytes > 0 ? `\n[... ${droppedBytes} bytes left out ...]\n` : '';
      return { output: Buffer.concat(head).toString('utf8') + marker + tail.toString('utf8'), droppedBytes };
    },
  };
}
