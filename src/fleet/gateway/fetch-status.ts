/**
 * `fetch_status` as the agent writes it (one-platform.md §4.2): the result of one entry of a command, or its
 * progress.
 */
import { APP_NAME_PATTERN, APP_VERSION_PATTERN } from '../../artifact/name.ts';
import { countOf, listOf, matchOf, numberOf, parseJson, textOf } from './decode.ts';

export const OUTCOMES = [
  'installed',
  'unchanged',
  'rejected',
  'failed-no-change',
  'rolled-back',
  'rollback-failed',
] as const;
export type ReportedOutcome = (typeof OUTCOMES)[number];

/** The outcomes after which the requested version does not run. */
const FAILURES: ReadonlySet<string> = new Set(OUTCOMES.slice(2));

export interface StatusReport {
  /** Empty where a command could not be read; so is the version. */
  readonly app: string;
  readonly version: string;
  /** `undefined` while the update is under way. */
  readonly outcome?: ReportedOutcome | undefined;
  /** Under way, and waiting for data budget. */
  readonly isWaiting: boolean;
  /** Identifies the update on that gateway; agents older than gwe report none. */
  readonly tx?: string | undefined;
  /** The `id` of the command that asked for it. */
  readonly command?: string | undefined;
  readonly code?: string | undefined;
  readonly phase?: string | undefined;
  readonly percent?: number | undefined;
  readonly reason?: string | undefined;
  /** The lines of install.sh's output that show what went wrong. */
  readonly lines: readonly string[];
  readonly bytes?: number | undefined;
  readonly bytesFull?: number | undefined;
  readonly seconds?: number | undefined;
  /** The number of this failure, which grows with each failure of a gateway. */
  readonly failureSequence?: number | undefined;
}

const TOKEN = /^[A-Za-z0-9_.:-]{1,80}$/;
const CODE = /^[A-Z][A-Z_]{1,63}$/;
const PHASE = /^[a-z][a-z-]{0,31}$/;
const MOST_LINES = 8;
const LINE_CHARS = 300;
const REASON_CHARS = 1000;

/** `undefined` for anything that is not a report of an update, such as a piece of a log. */
export function decodeFetchStatus(text: string): StatusReport | undefined {
  const parsed = parseJson(text);
  const fields = parsed === undefined ? fieldsOfText(text) : Array.isArray(parsed) ? undefined : parsed;
  return fields === undefined ? undefined : decodeFields({ ...fields });
}

function decodeFields(fields: Readonly<Record<string, unknown>>): StatusReport | undefined {
  const app = matchOf(fields.name, APP_NAME_PATTERN);
  const version = matchOf(fields.version, APP_VERSION_PATTERN);
  const state = decodeOutcome(fields);
  // A command that could not be read has no name, and is reported all the same.
  const isNameless = app === undefined || version === undefined;
  if (state === undefined || (isNameless && !FAILURES.has(state))) return undefined;
  const percent = numberOf(fields.percent);
  const lines = listOf(fields.lines, MOST_LINES).flatMap((line) => textOf(line, LINE_CHARS) ?? []);
  return {
    app: app ?? '',
    version: version ?? '',
    outcome: state === 'in progress' ? undefined : state,
    isWaiting: fields.outcome === 'waiting',
    tx: matchOf(fields.tx, TOKEN),
    command: matchOf(fields.command, TOKEN),
    code: matchOf(fields.code, CODE),
    phase: matchOf(fields.phase, PHASE),
    percent: percent === undefined ? undefined : Math.min(100, percent),
    reason:
      textOf(fields.reason, REASON_CHARS) ??
      textOf(fields.test === 'passed' ? '' : fields.test, REASON_CHARS),
    lines,
    bytes: countOf(fields.bytes),
    bytesFull: countOf(fields.bytes_full),
    seconds: numberOf(fields.seconds),
    failureSequence: countOf(fields.seq),
  };
}

/** Agents older than gwe report only `success` or `failure`, and not whether the version was there before. */
function decodeOutcome({
  outcome,
  status,
}: Readonly<Record<string, unknown>>): ReportedOutcome | 'in progress' | undefined {
  if (
    outcome === 'in progress' ||
    outcome === 'waiting' ||
    (outcome === undefined && status === 'in progress')
  )
    return 'in progress';
  const known = OUTCOMES.find((one) => one === outcome);
  if (known !== undefined || outcome !== undefined) return known;
  if (status === 'success') return 'installed';
  return status === 'failure' ? 'failed-no-change' : undefined;
}

const MOST_TEXT_LINES = 64;
const NUMBERS: ReadonlySet<string> = new Set(['percent', 'bytes', 'bytes_full', 'seconds', 'seq']);

/** A report in `fetch_status_format=text`: the output of install.sh, then lines `key: value` from `name` on. */
function fieldsOfText(text: string): Readonly<Record<string, unknown>> | undefined {
  const lines = text
    .slice(-64 * 1024)
    .trimEnd()
    .split('\n')
    .slice(-MOST_TEXT_LINES);
  const first = lines.findLastIndex((line) => line.startsWith('name: '));
  if (first === -1) return undefined;
  const pairs = lines.slice(first).flatMap((line): [string, unknown][] => {
    const [, key = '', value = ''] = /^([a-z_]{1,32}): (.*)$/.exec(line) ?? [];
    if (key === '') return [];
    return [[key, NUMBERS.has(key) ? Number(value) : key === 'lines' ? value.split('; ') : value]];
  });
  return Object.fromEntries(pairs);
}
