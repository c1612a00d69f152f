/**
 * A script that outlives gwe. Two small shells stand around it: one starts it and writes its exit status to a file, the
 * other, which may be another user, keeps the beginning and the end of what it prints in files of bounded size. gwe may
 * end at any moment, and the next one finds both files.
 */
import {
  accessSync,
  chownSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readSync,
  unlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { GweError, systemCode } from './errors.ts';
import { createReserved, ensureDirectory, listDirectory, readFileBounded, readTextBounded } from './fs.ts';
import { type DetachedProcess, makeFifo, readProcessStat, startDetached } from './process.ts';
import { removeTree } from './remove-tree.ts';

/** No more than 256 KiB of a script's output: its beginning, and its end in two files that take turns. */
const HEAD_BYTES = 32 * 1024;
const TAIL_BYTES = 111 * 1024;
const FIRST_LINE_BYTES = 256;
/** Written over by the status: that needs no space, also where the script has filled the disk. */
const STATUS_ROOM = `${' '.repeat(15)}\n`;

/**
 * Waits until gwe has put this process into its journal: where gwe dies before that, nothing has run. The signals are
 * for the script, which has them as they were.
 */
const RUN = `
trap : HUP INT QUIT TERM
IFS= read -r go || exit 125
exec </dev/null
"$@" 2>&1 3>&-
echo "$?" >&3`;

/**
 * Copies stdin to the files 3, then 4 and 5 in turn, each of which is emptied when the other one is full; 6 says how
 * often that was, and how many bytes were dropped. Written at once, so that nothing waits for the end of a daemon
 * that has the pipe. On SIGTERM, or if the disk cannot take it, the rest is read and dropped.
 */
const COLLECT = `
trap 'exec cat >/dev/null 3>&- 4>&- 5>&- 6>&-' TERM
fill() {
  size=0
  while count=$((($2 - size) / 1024)) && [ "$count" -gt 0 ]; do
    copied=$(dd bs=1024 count="$count" 2>&1 >&"$1") || exec cat >/dev/null
    case $copied in "$count"+0\\ *) size=$((size + count * 1024)); continue ;; esac
    before=$size size=$(wc -c </proc/self/fd/"$1")
    [ "$size" -gt "$before" ] || return 1
  done
}
fill 3 "$1" || exit 0
turns=0 dropped=0 older=0
while fill $((4 + turns % 2)) "$2"; do
  turns=$((turns + 1)) dropped=$((dropped + older)) older=$size
  echo "$turns $dropped" 1<>/proc/self/fd/6
  : >/proc/self/fd/$((4 + turns % 2))
done`;

export interface ScriptOptions {
  cwd: string;
  env: Readonly<Record<string, string>>;
  /** Where its files are; must not be there yet. */
  directory: string;
  /** Whom it runs as, without further groups; needs root. Default: the user that gwe has. */
  user?: { uid: number; gid: number } | undefined;
}

/** A process by its pid and its start: the pid alone may be another's later. */
interface ProcessIdentity {
  pid: number;
  startTicks: string;
}

export interface StartedScript {
  /** Leads the session of the script. */
  runner: ProcessIdentity;
  /** Takes what is printed, in a session of its own. */
  collector: ProcessIdentity;
  /** Resolves when the script has ended, while gwe is still there. */
  exited: Promise<void>;
  /** Lets the script begin. Without it nothing runs. */
  go(): void;
  /** It is not to begin; the end of gwe does the same. */
  abandon(): void;
}

/** Everything about a script but its first instruction. Throws INSTALL_FAILED if it cannot be started. */
export async function prepareScript(argv: readonly string[], options: ScriptOptions): Promise<StartedScript> {
  const { cwd, env, directory, user } = options;
  const open: number[] = [];
  const create = (name: string): number => {
    open.push(openSync(join(directory, name), 'ax', 0o600));
    return open.at(-1) ?? -1;
  };
  try {
    ensureDirectory(directory, 0o700);
    const status = createReserved(join(directory, 'status'), STATUS_ROOM);
    open.push(status);
    const files = ['head', 'tail-0', 'tail-1', 'turns'].map(create);
    const { reader, writer } = openPipe(join(directory, 'pipe'), options);
    open.push(reader, writer);
    const collector = await startDetached(
      ['/bin/sh', '-c', COLLECT, 'sh', `${HEAD_BYTES}`, `${TAIL_BYTES}`],
      {
        cwd: '/',
        env: { PATH: env.PATH ?? '', LC_ALL: 'C' },
        stdin: reader,
        files: ['ignore', 'ignore', ...files],
      },
    );
    const runner = await startDetached(['/bin/sh', '-c', RUN, 'sh', ...argv], {
      cwd,
      env,
      stdin: 'pipe',
      files: [writer, 'ignore', status],
      user,
    });
    return {
      runner: identify(runner),
      collector: identify(collector),
      exited: runner.exited,
      go: () => void runner.stdin?.end('go\n'),
      abandon: () => void runner.stdin?.end(),
    };
  } finally {
    for (const fd of open) closeSync(fd);
  }
}

function identify({ pid }: DetachedProcess): ProcessIdentity {
  return { pid, startTicks: readProcessStat(pid)?.startTicks ?? '0' };
}

/** A pipe of the script's own user, who may reopen it as /dev/stdout. Its name is removed at once. */
function openPipe(path: string, { env, user }: ScriptOptions): { reader: number; writer: number } {
  makeFifo(path, env);
  if (user !== undefined) chownSync(path, user.uid, user.gid);
  // Opening either end blocks until the other is open, except for a non-blocking reader.
  const first = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(path, constants.O_WRONLY);
  const reader = openSync(path, constants.O_RDONLY);
  closeSync(first);
  unlinkSync(path);
  return { reader, writer };
}

/**
 * Throws INSTALL_FAILED where the kernel would not start the file `path`, which the shell would report less
 * precisely.
 */
export function assertStartable(path: string, name: string): void {
  const refuse = (found: string): never => {
    throw new GweError('INSTALL_FAILED', `cannot start '${name}': ${found}`);
  };
  try {
    accessSync(path, constants.X_OK);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') refuse('it does not exist');
    refuse('permission denied (x bit missing, or a file system mounted noexec)');
  }
  const interpreter = /^#![ \t]*([^ \t\n]+)/.exec(readFirstBytes(path))?.[1];
  if (interpreter !== undefined && !existsSync(interpreter))
    refuse(`${JSON.stringify(interpreter)}, the interpreter in its first line, does not exist`);
}

function readFirstBytes(path: string): string {
  const fd = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(FIRST_LINE_BYTES);
    return bytes.subarray(0, readSync(fd, bytes)).toString('latin1');
  } finally {
    closeSync(fd);
  }
}

/** What the script exited with, as a shell says it (128 and the number of a signal); `undefined` before its end. */
export function readScriptStatus(directory: string): number | undefined {
  const text = readTextBounded(join(directory, 'status'), 64) ?? '';
  // A power cut may have left the file empty, or without its end.
  const status = /^(\d{1,3})\n/.exec(text)?.[1];
  return status === undefined ? undefined : Number(status);
}

export interface ScriptOutput {
  head: Buffer;
  tail: Buffer;
  /** Between the two. */
  droppedBytes: number;
}

/** What is kept of what the script has printed so far. */
export function readScriptOutput(directory: string): ScriptOutput {
  const read = (name: string): Buffer =>
    readFileBounded(join(directory, name), HEAD_BYTES + TAIL_BYTES) ?? Buffer.alloc(0);
  const [, turns = '0', dropped = '0'] = /^(\d+) (\d+)\n/.exec(read('turns').toString('latin1')) ?? [];
  const newest = Number(turns) % 2;
  const tail = Buffer.concat([read(`tail-${1 - newest}`), read(`tail-${newest}`)]);
  return { head: read('head'), tail, droppedBytes: Number(dropped) };
}

/** As text of at most about `limitBytes`: its first and its last half, and how much is left out between them. */
export function renderOutput({ head, tail, droppedBytes }: ScriptOutput, limitBytes: number): string {
  const whole = Buffer.concat([head, tail]);
  if (droppedBytes === 0 && whole.length <= limitBytes) return whole.toString('utf8');
  const firstBytes = Math.floor(limitBytes / 2);
  const first = (droppedBytes === 0 ? whole : head).subarray(0, firstBytes);
  const rest = (droppedBytes === 0 ? whole : tail).subarray(-Math.max(1, limitBytes - firstBytes));
  const last = limitBytes === 0 ? Buffer.alloc(0) : rest;
  const leftOut = whole.length + droppedBytes - first.length - last.length;
  return `${first.toString('utf8')}\n[... ${leftOut} bytes left out ...]\n${last.toString('utf8')}`;
}

/** Removes the files of all scripts in `directory` but those of `keep`. */
export function removeScriptFiles(directory: string, keep: string | undefined): void {
  for (const name of listDirectory(directory)) if (name !== keep) removeTree(join(directory, name));
}
