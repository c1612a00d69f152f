/** What install.sh and health.sh printed in the last updates: one file each, complete unless it is very long. */
import { join } from 'node:path';
import { describeError, GweError } from '../../base/errors.ts';
import {
  diskSpace,
  ensureDirectory,
  listDirectory,
  readTextBounded,
  removeFileDurable,
  writeFileDurable,
} from '../../base/fs.ts';
import { readHistory } from '../../store/history.ts';
import { updateLogFile } from '../../store/layout.ts';
import type { AgentContext } from '../run/context.ts';

/** How much of one script's output is kept: its beginning and its end. */
export const LARGEST_LOG_BYTES = 256 * 1024;
/** An update may run more than one script: the new install.sh, health.sh, the install.sh of the version before. */
const LARGEST_FILE_BYTES = 2 * LARGEST_LOG_BYTES;
const MOST_LOGS = 10;

type LogContext = Pick<AgentContext, 'layout' | 'journal'>;

/**
 * Adds what a script printed to the log of the update `tx`, under a line that begins with `what`. Never fails: an
 * update is worth more than its log. The reserve of the disk stays free.
 */
export function keepUpdateLog(
  context: Pick<AgentContext, 'layout' | 'log' | 'clock' | 'settings'>,
  tx: string,
  what: string,
  output: string,
): void {
  if (output === '') return;
  const { updateLogsDirectory: directory, stateDirectory } = context.layout;
  try {
    const before = readUpdateLog(context, tx) ?? '';
    const end = output.endsWith('\n') ? '' : '\n';
    const text = `${before}== ${new Date(context.clock.wallMs()).toISOString()} ${what}\n${output}${end}`;
    if (Buffer.byteLength(text) > LARGEST_FILE_BYTES) return;
    for (const old of others(directory, tx).slice(0, -(MOST_LOGS - 1)))
      removeFileDurable(join(directory, old));
    const { freeBytes } = diskSpace(stateDirectory);
    const neededBytes = Buffer.byteLength(text) + context.settings().diskReserveBytes;
    if (freeBytes < neededBytes)
      throw new GweError(
        'STORE_NO_SPACE',
        `cannot keep the output of '${tx}': ${freeBytes} bytes free, expected ${neededBytes} with the reserve`,
      );
    ensureDirectory(directory);
    writeFileDurable(updateLogFile(context.layout, tx), text, 0o600);
  } catch (error) {
    context.log.warn('store.no-log', { tx }, describeError(error));
  }
}

/** All that is kept of the update `tx`; `undefined` where nothing was printed, or it was long ago. */
export function readUpdateLog(context: Pick<AgentContext, 'layout'>, tx: string): string | undefined {
  // It may come from a command, and becomes part of a path.
  if (!/^[0-9a-z]{1,40}(-[0-9]{1,4})?$/.test(tx)) return undefined;
  return readTextBounded(updateLogFile(context.layout, tx), 2 * LARGEST_FILE_BYTES);
}

/** The last update of `app` that has printed something. */
export function lastUpdateWithLog(context: LogContext, app: string): string | undefined {
  const kept = new Set(listDirectory(context.layout.updateLogsDirectory));
  const ended = readHistory(context.layout);
  const updates = [...ended, ...openUpdate(context)].filter((one) => one.app === app);
  return updates.reverse().find(({ tx }) => kept.has(`${tx}.log`))?.tx;
}

/** One that has not ended is in no history. */
function openUpdate({ journal }: LogContext): { app: string; tx: string }[] {
  try {
    const last = journal.read();
    return last === undefined || last.closed ? [] : [{ app: last.app, tx: last.id }];
  } catch {
    return [];
  }
}

/** Oldest first: ids sort by time. */
function others(directory: string, tx: string): string[] {
  return listDirectory(directory).filter((name) => name.endsWith('.log') && name !== `${tx}.log`);
}
