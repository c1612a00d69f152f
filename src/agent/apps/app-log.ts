/** The log of an app's program: its last lines, and those that come. */
import * as fs from 'node:fs';
import { RESERVED_APP_NAME } from '../../artifact/name.ts';
import type { Clock } from '../../base/clock.ts';
import { GweError, systemCode, wrapError } from '../../base/errors.ts';
import { hasOwnUnit } from '../../service/managers.ts';
import { programLog } from '../../store/layout.ts';
import { groupProcesses } from '../../supervisor/programs.ts';
import type { AgentContext } from '../run/context.ts';

const CHUNK_BYTES = 64 * 1024;
/** No more than this is read from the end of a log, whatever the number of lines. */
const LONGEST_TAIL_BYTES = 8 * 1024 * 1024;
const FOLLOW_POLL_MS = 250;

/** Where supervisord writes the app's output, or where it would by default when it cannot be asked. */
export async function findAppLog(
  context: Pick<AgentContext, 'layout' | 'supervisor'>,
  app: string,
): Promise<string> {
  const usual = programLog(context.layout, app);
  if (app === RESERVED_APP_NAME && hasOwnUnit(context.layout)) {
    throw new GweError('STORE_IO', "systemd keeps the log of gwe: 'journalctl -u gwe' shows it");
  }
  try {
    const [first] = await groupProcesses(context.supervisor(), app);
    return first === undefined || first.stdout_logfile === '' ? usual : first.stdout_logfile;
  } catch (error) {
    if (error instanceof GweError) return usual;
    throw error;
  }
}

/** The last `lines` lines of the file, and where they end. Throws STORE_IO if there is no such file. */
export function readLogTail(path: string, lines: number): { text: string; endBytes: number } {
  const fd = openLog(path);
  try {
    const { size } = fs.fstatSync(fd);
    let start = size;
    let bytes = Buffer.alloc(0);
    while (start > 0 && bytes.length < LONGEST_TAIL_BYTES && countLines(bytes) <= lines) {
      const length = Math.min(CHUNK_BYTES, start);
      start -= length;
      bytes = Buffer.concat([readAt(fd, start, length), bytes]);
    }
    return { text: lastLines(bytes.toString('utf8'), lines), endBytes: size };
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Gives what is appended to the file after `fromBytes` until `signal` aborts. A file that shrinks or is replaced
 * (rotation) is read from its beginning; one that is gone is waited for.
 */
export async function followLog(
  path: string,
  fromBytes: number,
  options: { clock: Clock; signal: AbortSignal; write(text: string): void },
): Promise<void> {
  const decoder = new TextDecoder();
  let inode = fs.statSync(path, { throwIfNoEntry: false })?.ino;
  let at = fromBytes;
  while (!options.signal.aborted) {
    const stat = fs.statSync(path, { throwIfNoEntry: false });
    if (stat !== undefined && (stat.ino !== inode || stat.size < at)) {
      inode = stat.ino;
      at = 0;
    }
    if (stat === undefined || stat.size === at) {
      await options.clock.sleep(FOLLOW_POLL_MS, options.signal);
      continue;
    }
    const fd = openLog(path);
    try {
      const chunk = readAt(fd, at, Math.min(CHUNK_BYTES, stat.size - at));
      at += chunk.length;
      options.write(decoder.decode(chunk, { stream: true }));
    } finally {
      fs.closeSync(fd);
    }
  }
}

function openLog(path: string): number {
  try {
    return fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') {
      throw new GweError(
        'STORE_IO',
        `cannot read log '${path}': it does not exist; its program has not run yet`,
      );
    }
    throw wrapError(error, 'STORE_IO', `cannot read log '${path}'`);
  }
}

function readAt(fd: number, position: number, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  return buffer.subarray(0, fs.readSync(fd, buffer, 0, length, position));
}

function countLines(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, at + 1)) count++;
  return count;
}

function lastLines(text: string, count: number): string {
  const ended = text.endsWith('\n');
  const lines = (ended ? text.slice(0, -1) : text).split('\n');
  const kept = count === 0 || text === '' ? [] : lines.slice(-count);
  return kept.length === 0 ? '' : `${kept.join('\n')}${ended ? '\n' : ''}`;
}
