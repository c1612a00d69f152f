/**
 * `gwe logs APP [-f] [-n N]`: what the app's program wrote; with `--install`, what install.sh printed in its last
 * update. On a terminal, control characters are shown as a mark.
 *
 * `--json` (not with -f): {version, app, file, lines: [text]}.
 */
import { findAppLog, followLog, readLogTail } from '../../agent/apps/app-log.ts';
import { lastUpdateWithLog } from '../../agent/reports/update-log.ts';
import type { AgentContext } from '../../agent/run/context.ts';
import { GweError } from '../../base/errors.ts';
import { updateLogFile } from '../../store/layout.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { gatewayOf, requireApp } from '../shell/open-gateway.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { printDocument } from '../shell/screen.ts';

const DEFAULT_LINES = 50;
const MOST_LINES = 100_000;

export const logsCommand: CommandSpec = {
  path: ['logs'],
  positionals: ['APP'],
  summary: "Show the end of the log of an app's program",
  options: [
    { name: 'follow', short: 'f', help: 'keep printing what is written, until Ctrl-C' },
    { name: 'lines', short: 'n', value: 'N', help: 'how many lines', default: String(DEFAULT_LINES) },
    { name: 'install', help: 'what install.sh and health.sh printed in its last update' },
    JSON_OPTION,
  ],
  run: runLogs,
};

async function runLogs(call: CommandCall): Promise<number> {
  const { io, options } = call;
  if (options.has('follow') && options.has('json'))
    throw new GweError('USAGE_BAD_OPTION', '--follow and --json do not go together: a document has an end');
  if (options.has('follow') && options.has('install'))
    throw new GweError(
      'USAGE_BAD_OPTION',
      '--follow and --install do not go together: that log is written when the script ends',
    );
  const count = readWholeNumber(call, 'lines', DEFAULT_LINES, MOST_LINES);
  const context = gatewayOf(call);
  const isOfUpdate = options.has('install');
  const app = isOfUpdate ? (call.positionals[0] ?? '') : requireApp(call, context);
  const path = isOfUpdate ? findUpdateLog(context, app) : await findAppLog(context, app);
  const { text, endBytes } = readLogTail(path, count);
  if (options.has('json')) {
    printDocument(io, { app, file: path, lines: text === '' ? [] : text.replace(/\n$/, '').split('\n') });
    return EXIT.ok;
  }
  const write = (part: string): void => io.stdout(io.isTerminal ? markControls(part) : part);
  write(text);
  if (!options.has('follow') && text !== '' && !text.endsWith('\n')) io.stdout('\n');
  if (!options.has('follow')) return EXIT.ok;
  await followLog(path, endBytes, { clock: io.clock, signal: io.signal, write });
  return EXIT.interrupted;
}

/** An app whose only update failed is not installed, and is asked about most. */
function findUpdateLog(context: Pick<AgentContext, 'layout' | 'journal'>, app: string): string {
  const tx = lastUpdateWithLog(context, app);
  if (tx !== undefined) return updateLogFile(context.layout, tx);
  const found = `no update of '${app.slice(0, 70)}' has left a log`;
  throw new GweError('STORE_IO', `${found}: logs of the last 10 updates that printed something are kept`);
}

/** Throws USAGE_BAD_VALUE for anything but a whole number from 0 to `most`. */
export function readWholeNumber(call: CommandCall, name: string, fallback: number, most: number): number {
  const text = call.options.text(name);
  if (text === undefined) return fallback;
  if (/^\d{1,9}$/.test(text) && Number(text) <= most) return Number(text);
  throw new GweError(
    'USAGE_BAD_VALUE',
    `--${name}: found '${text.slice(0, 40)}', expected a whole number from 0 to ${most}`,
  );
}

/** A log must not be able to move the cursor or to type into the terminal. */
function markControls(text: string): string {
  return text.replace(/\r\n/g, '\n').replace(/(?![\n\t])\p{Cc}/gu, '\ufffd');
}
