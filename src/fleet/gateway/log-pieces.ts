/** The log of an update as the agent sends it: in pieces, one `fetch_status` each (one-platform.md §4.2). */
import { APP_NAME_PATTERN, APP_VERSION_PATTERN } from '../../artifact/name.ts';
import { countOf, fieldsOf, matchOf, parseJson } from './decode.ts';

interface LogPiece {
  /** The update whose log it is. */
  readonly tx: string;
  readonly app: string;
  readonly version: string;
  /** Unix seconds at which the piece arrived. */
  readonly at: number;
  /** Counted from 1. */
  readonly piece: number;
  readonly pieces: number;
  /** The size of the whole log. */
  readonly bytes: number;
  readonly text: string;
}

interface GatewayLog extends Omit<LogPiece, 'piece' | 'text'> {
  /** Numbers of the pieces that have not arrived. */
  readonly missing: readonly number[];
  readonly text: string;
}

const TX = /^[A-Za-z0-9_.:-]{1,80}$/;
const MOST_PIECES = 100;

/** `undefined` for any other report. */
export function decodeLogPiece(text: string, at: number): LogPiece | undefined {
  const fields = fieldsOf(parseJson(text));
  if (fields?.outcome !== 'log' || typeof fields.info !== 'string') return undefined;
  const tx = matchOf(fields.tx, TX);
  const [piece, pieces] = [countOf(fields.piece) ?? 0, countOf(fields.pieces) ?? 0];
  if (tx === undefined || piece < 1 || piece > pieces || pieces > MOST_PIECES) return undefined;
  return {
    tx,
    app: matchOf(fields.name, APP_NAME_PATTERN) ?? '',
    version: matchOf(fields.version, APP_VERSION_PATTERN) ?? '',
    at,
    piece,
    pieces,
    bytes: countOf(fields.bytes) ?? 0,
    text: fields.info,
  };
}

/**
 * One log for each update, the newest first. `pieces`: the newest first; where a piece arrived twice, the newer one
 * counts.
 */
export function joinPieces(pieces: readonly LogPiece[]): GatewayLog[] {
  const byUpdate = new Map<string, LogPiece[]>();
  for (const piece of pieces) byUpdate.set(piece.tx, [...(byUpdate.get(piece.tx) ?? []), piece]);
  return [...byUpdate.values()].flatMap((found) => {
    const [newest] = found;
    if (newest === undefined) return [];
    const { piece: _, text: __, ...about } = newest;
    const numbers = Array.from({ length: newest.pieces }, (_, at) => at + 1);
    const own = numbers.map((number) => found.find(({ piece }) => piece === number));
    return [
      {
        ...about,
        missing: numbers.filter((_, at) => own[at] === undefined),
        text: own.map((one) => one?.text ?? '').join(''),
      },
    ];
  });
}
