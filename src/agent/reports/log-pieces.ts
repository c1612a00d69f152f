/** The log of an update on its way to the platform: in pieces, one report each, because a value there is short. */
import { describeError, type ErrorCode, GweError } from '../../base/errors.ts';
import { encodeForm } from '../../protocol/codec.ts';
import { renderFetchStatus } from '../../protocol/messages.ts';
import type { CommandEntry } from '../../store/command.ts';
import { readHistory } from '../../store/history.ts';
import type { AgentContext } from '../run/context.ts';
import { reportEntry } from './entry-report.ts';
import { lastUpdateWithLog, readUpdateLog } from './update-log.ts';

const LARGEST_PIECE_BYTES = 16 * 1024;
/** Room in a piece for everything but the text. */
const FRAME_BYTES = 1024;
/** What does not fit into so many is left out at the beginning: the end says how it ended. */
const MOST_PIECES = 40;
/** Reports that may wait: beyond it the oldest would be lost. */
const MOST_WAITING = 150;
const ALIAS = 'fetch_status';

/**
 * Puts the log that `entry` asks for into the outbox, or the report that says why not. The same again changes
 * nothing.
 */
export function sendLog(
  context: Pick<
    AgentContext,
    'layout' | 'clock' | 'log' | 'settings' | 'device' | 'journal' | 'outbox' | 'clockFloor' | 'budget'
  >,
  id: string,
  entry: CommandEntry,
): void {
  try {
    const { tx, text } = findLog(context, entry);
    const reports = renderPieces(context, id, tx, text);
    requireRoom(context, reports, entry);
    for (const { key, value } of reports) context.outbox.put(key, ALIAS, value);
    context.log.info('logs.send', { tx, bytes: Buffer.byteLength(text), pieces: reports.length });
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    // Half of it would look like the whole.
    for (const key of context.outbox.keys()) if (key.startsWith(`${id}-log-`)) context.outbox.remove(key);
    const end = { outcome: 'failed-no-change', code: error.code, reason: describeError(error) } as const;
    reportEntry(context, id, entry, end);
  }
}

function findLog(
  context: Pick<AgentContext, 'layout' | 'journal'>,
  { contentId, log }: CommandEntry,
): { tx: string; text: string } {
  const tx = log?.tx ?? lastUpdateWithLog(context, log?.app ?? '');
  const text = tx === undefined ? undefined : readUpdateLog(context, tx);
  if (tx !== undefined && text !== undefined) return { tx, text };
  throw refusal(
    'STORE_IO',
    `cannot send a log of '${contentId.slice(0, 80)}': there is none; those of the last 10 updates that printed ` +
      'something are kept',
  );
}

function renderPieces(
  context: Pick<AgentContext, 'layout' | 'settings'>,
  id: string,
  tx: string,
  text: string,
): { key: string; value: string }[] {
  const { fetchStatusFormat, maxReportBytes } = context.settings();
  const limitBytes = Math.min(LARGEST_PIECE_BYTES, maxReportBytes);
  const all = cutPieces(text, limitBytes - FRAME_BYTES);
  const shown = all.slice(-MOST_PIECES);
  const update = readHistory(context.layout).find((one) => one.tx === tx);
  return shown.map((info, index) => {
    const key = `${id}-log-${String(index + 1).padStart(3, '0')}`;
    const status = {
      name: update?.app ?? '',
      version: update?.version ?? '',
      status: 'log',
      exitcode: -1,
      test: '',
      info,
      outcome: 'log',
      tx,
      key,
      piece: index + 1,
      pieces: shown.length,
      bytes: Buffer.byteLength(text),
      ...(shown.length === all.length ? {} : { left_out: all.length - shown.length }),
    };
    return { key, value: renderFetchStatus(status, fetchStatusFormat, limitBytes) };
  });
}

/** `text` in parts that are at most `limitBytes` as a JSON string, cut at line ends where lines are not longer. */
export function cutPieces(text: string, limitBytes: number): string[] {
  const pieces: string[] = [];
  let piece = '';
  let pieceBytes = 2;
  const add = (part: string): void => {
    const bytes = Buffer.byteLength(JSON.stringify(part)) - 2;
    if (pieceBytes + bytes > limitBytes && piece !== '') {
      pieces.push(piece);
      [piece, pieceBytes] = ['', 2];
    }
    piece += part;
    pieceBytes += bytes;
  };
  for (const line of text.split(/(?<=\n)/)) {
    if (Buffer.byteLength(JSON.stringify(line)) <= limitBytes) add(line);
    else for (const character of line) add(character);
  }
  return piece === '' ? pieces : [...pieces, piece];
}

/** Throws STORE_NO_SPACE where too much waits already, BUDGET_SPENT where the month's bytes do not allow it. */
function requireRoom(
  context: Pick<AgentContext, 'outbox' | 'budget'>,
  reports: readonly { key: string; value: string }[],
  entry: CommandEntry,
): void {
  const waiting = context.outbox.size();
  if (waiting + reports.length > MOST_WAITING)
    throw refusal(
      'STORE_NO_SPACE',
      `cannot send a log in ${reports.length} reports: ${waiting} wait to be sent, expected at most ${MOST_WAITING} ` +
        'together; ask again later',
    );
  const bytes = reports.reduce(
    (sum, { value }) => sum + encodeForm([[ALIAS, value]]).length + FRAME_BYTES,
    0,
  );
  if (context.budget.allows(bytes, entry.urgent === true)) return;
  throw refusal(
    'BUDGET_SPENT',
    `cannot send a log: ${bytes} bytes do not fit into what is left of budget_month; raise it, ask again next month` +
      `${entry.urgent === true ? '' : ', or add "urgent": true'}`,
  );
}

function refusal(code: ErrorCode, message: string): GweError {
  return new GweError(code, message);
}
