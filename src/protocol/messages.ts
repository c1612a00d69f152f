/** The texts behind the aliases: commands come in as anything, reports go out bounded (one-platform.md §4.2-4.4). */
import * as v from 'valibot';
import { parseWindows } from '../base/time/windows.ts';

/** One tarball named by a command. With a `problem` it is reported and not installed. */
interface InstallEntry {
  /** As the command has it, cut to 160 characters. */
  contentId: string;
  problem?: string;
  /** Lower case; the tarball must have it. */
  sha256?: string;
  /** Only when true: the reserve of the data budget may be used for it. */
  urgent?: boolean;
  /** Nothing is to be installed: the output of an update is requested, the last one of an app or a given one. */
  log?: LogRequest;
}

interface LogRequest {
  app?: string | undefined;
  tx?: string | undefined;
}

/** When a command is installed, and how; older agents know none of it. */
interface Timing {
  /** Unix seconds: fetched now, installed then. */
  notBefore?: number;
  /** As `parseWindows` reads it. */
  window?: string;
  /** All apps or none. */
  isTogether?: true;
}

type Instruction =
  /** Nothing to do: the alias is empty. */
  | { kind: 'none' }
  /**
   * In the command's order, logs last; other keys than `name`, `sha256` and `urgent` are ignored. `id` is what its
   * writer calls it, where that is a word.
   */
  | ({ kind: 'install'; entries: InstallEntry[]; id?: string } & Timing)
  /** Not a command: `reason` says what was found and what was expected. */
  | { kind: 'invalid'; reason: string };

/** Longest `engine_fetch` taken, in bytes of UTF-8. */
const MAX_INSTRUCTION_BYTES = 64 * 1024;
export const MAX_INSTALL_ENTRIES = 32;

/** Each may be many reports. */
const MAX_LOG_ENTRIES = 4;

const EXPECTED = 'expected {"install": [{"name": "APP.vVERSION.tar.gz"}]} or {"logs": [{"app": "APP"}]}';
const ENVELOPE = v.looseObject({ install: v.array(v.unknown()) });
const ENTRY = v.looseObject({
  name: v.string(),
  sha256: v.optional(v.unknown()),
  urgent: v.optional(v.unknown()),
});

/**
 * Decodes the text of `engine_fetch`. Never throws; a bad entry does not spoil the others. `nameProblem` says what is
 * wrong with a tarball name (the rules for names belong to the artifact); without it every string is taken.
 */
export function decodeInstruction(
  text: string,
  nameProblem?: (name: string) => string | undefined,
): Instruction {
  if (text.trim() === '') return { kind: 'none' };
  const invalid = (found: string): Instruction => ({
    kind: 'invalid',
    reason: `cannot use engine_fetch: ${found}, ${EXPECTED}`,
  });
  const sizeBytes = Buffer.byteLength(text);
  if (sizeBytes > MAX_INSTRUCTION_BYTES) {
    return invalid(`${sizeBytes} bytes, more than ${MAX_INSTRUCTION_BYTES}`);
  }
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson()), text);
  if (!parsed.success) return invalid(`not JSON: ${quote(text)}`);
  if (!isPlainObject(parsed.output)) return invalid(`${describeJson(parsed.output)} instead of an object`);
  const logs = decodeLogs(parsed.output.logs);
  const { install: wanted = logs.length > 0 ? [] : undefined } = parsed.output;
  const envelope = v.safeParse(ENVELOPE, { install: wanted });
  if (!envelope.success) {
    const { install } = parsed.output;
    return invalid(install === undefined ? "no key 'install'" : `'install' is ${describeJson(install)}`);
  }
  const { install } = envelope.output;
  if (install.length > MAX_INSTALL_ENTRIES) {
    return invalid(`${install.length} entries, more than ${MAX_INSTALL_ENTRIES}`);
  }
  const entries = [...install.map((entry) => decodeEntry(entry, nameProblem)), ...logs];
  if (entries.length === 0) return invalid("'install' is an empty list");
  const { id } = parsed.output;
  const timing = decodeTiming(parsed.output);
  if (typeof timing === 'string') return { kind: 'invalid', reason: `cannot use engine_fetch: ${timing}` };
  return { kind: 'install', entries, ...(isCommandId(id) ? { id } : {}), ...timing };
}

/** Ten years: what is put off for longer was not meant so. */
const LATEST_S = 315_360_000;

/** What cannot be read is never taken for a command that may be installed at once. */
function decodeTiming(fields: Readonly<Record<string, unknown>>): Timing | string {
  const { not_before: notBefore, window, together } = fields;
  const timing: Timing = {};
  if (notBefore !== undefined && notBefore !== null) {
    const atS = typeof notBefore === 'string' ? Date.parse(notBefore) / 1000 : notBefore;
    if (typeof atS !== 'number' || !Number.isSafeInteger(atS) || atS < 0 || atS > 2_000_000_000 + LATEST_S)
      return `'not_before' is ${describeJson(notBefore)}, expected Unix seconds or a time such as 2026-12-01T02:00:00Z`;
    timing.notBefore = atS;
  }
  if (window !== undefined && window !== null && window !== '') {
    const parsed =
      typeof window === 'string' ? parseWindows(window) : { problem: `'window' is ${describeJson(window)}` };
    if ('problem' in parsed) return parsed.problem;
    timing.window = String(window);
  }
  if (together === true) timing.isTogether = true;
  else if (together !== undefined && together !== null && together !== false)
    return `'together' is ${describeJson(together)}, expected true or false`;
  return timing;
}

/** Short enough for every report; anything else is ignored, so that commands that have always worked still do. */
function isCommandId(id: unknown): id is string {
  return typeof id === 'string' && /^[A-Za-z0-9_.:-]{1,80}$/.test(id);
}

const LOG_ENTRY = v.looseObject({
  app: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(160))),
  tx: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(160))),
  urgent: v.optional(v.unknown()),
});

/** Never fails: what cannot be used is an entry with a problem, and does not spoil `install` beside it. */
function decodeLogs(found: unknown): InstallEntry[] {
  if (found === undefined) return [];
  const expected = `expected {"logs": [{"app": "APP"}]} or {"logs": [{"tx": "ID"}]}`;
  const bad = (problem: string): InstallEntry => ({ contentId: '', problem: `${problem}, ${expected}` });
  if (!Array.isArray(found)) return [bad(`cannot use 'logs': it is ${describeJson(found)}`)];
  if (found.length > MAX_LOG_ENTRIES)
    return [bad(`cannot use 'logs': ${found.length} entries, more than ${MAX_LOG_ENTRIES}`)];
  return found.map((one: unknown) => {
    const entry = v.safeParse(LOG_ENTRY, one);
    const { app, tx, urgent } = entry.success ? entry.output : {};
    if ((app === undefined) === (tx === undefined))
      return bad(`cannot use an entry of 'logs': ${describeJson(one)}`);
    const log = app === undefined ? { tx } : { app };
    return { contentId: app ?? tx ?? '', log, ...(urgent === true ? { urgent: true } : {}) };
  });
}

function decodeEntry(found: unknown, nameProblem?: (name: string) => string | undefined): InstallEntry {
  const entry = v.safeParse(ENTRY, found);
  if (!entry.success) {
    const shown = isPlainObject(found) ? `'name' is ${describeJson(found.name)}` : describeJson(found);
    return { contentId: '', problem: `cannot use an install entry: ${shown}, expected {"name": "..."}` };
  }
  const { name, sha256 } = entry.output;
  const urgent = entry.output.urgent === true ? { urgent: true } : {};
  const contentId = name.slice(0, 160);
  const problem = nameProblem?.(name);
  if (problem !== undefined) return { contentId, problem };
  if (sha256 === undefined || sha256 === null || sha256 === '') return { contentId, ...urgent };
  if (typeof sha256 === 'string' && /^[0-9a-f]{64}$/i.test(sha256)) {
    return { contentId, sha256: sha256.toLowerCase(), ...urgent };
  }
  return {
    contentId,
    problem: `cannot install '${contentId}': its sha256 is ${describeJson(sha256)}, expected 64 hexadecimal digits`,
  };
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A JSON value in a few printable words. */
function describeJson(value: unknown): string {
  if (value === undefined) return 'missing';
  if (Array.isArray(value)) return 'a list';
  if (value !== null && typeof value === 'object') return 'an object';
  return quote(String(value));
}

function quote(text: string): string {
  const cut = text.length > 60 ? `${text.slice(0, 60)}...` : text;
  return JSON.stringify(cut).replace(/[\u007f-\u009f\u2028\u2029]/g, '?');
}

/** Shortest and longest pause between check-ins, seconds; a year is as good as never. */
const MIN_INTERVAL_S = 1;
const MAX_INTERVAL_S = 31_536_000;

/** Decodes `update_interval`: whole seconds in plain digits. Anything else is a problem, never a guess. */
export function decodeInterval(text: string): { seconds: number } | { problem: string } {
  const trimmed = text.trim();
  const seconds = /^\d{1,12}$/.test(trimmed) ? Number(trimmed) : Number.NaN;
  if (seconds >= MIN_INTERVAL_S && seconds <= MAX_INTERVAL_S) return { seconds };
  return {
    problem: `cannot use update_interval ${quote(text)}: expected whole seconds from ${MIN_INTERVAL_S} to ${MAX_INTERVAL_S}`,
  };
}

/** The keys of the original (one-platform.md §4.2), and ours. */
export interface FetchStatus {
  name: string;
  version: string;
  status: string;
  exitcode: number;
  test: string;
  /** Output of install.sh. */
  info: string;
  readonly [key: string]: unknown;
}

/** Below the 64 KiB that one-platform.md §1.2 recommends, percent-encoding not counted. */
export const MAX_FETCH_STATUS_BYTES = 60 * 1024;
/** For every text but `info`. */
const MAX_FIELD_BYTES = 2048;
const MAX_NOTES = 16;

/**
 * The text of `fetch_status`, at most `limitBytes` (of 4096 or more): too long an `info` loses its front (the end of an
 * output says why it ended), with a marker that counts what is gone. `text` is for readers of the original's raw
 * output.
 */
export function renderFetchStatus(
  status: FetchStatus,
  format: 'json' | 'text',
  limitBytes: number = MAX_FETCH_STATUS_BYTES,
): string {
  const fields = boundFields(status);
  const render = (info: string): string =>
    format === 'json' ? JSON.stringify({ ...fields, info }) : renderText(fields, info);
  const info = cleanText(status.info);
  const spentBytes = Buffer.byteLength(render(''));
  let budget = limitBytes - spentBytes - 64;
  let text = render(keepEnd(info, budget));
  // JSON may need six bytes for one of the output's.
  while (Buffer.byteLength(text) > limitBytes && budget > 0) {
    budget = Math.floor(budget / 2);
    text = render(keepEnd(info, budget));
  }
  return text;
}

function boundFields(status: FetchStatus): Record<string, unknown> {
  const bound = (value: unknown): unknown => {
    if (typeof value === 'string') return keepStart(cleanText(value), MAX_FIELD_BYTES);
    return Array.isArray(value) ? value.slice(0, MAX_NOTES).map(bound) : value;
  };
  return Object.fromEntries(
    Object.entries(status).map(([key, value]) => [key, key === 'info' ? '' : bound(value)]),
  );
}

/** Raw output first, as the original had it; then one line for each other fact. */
function renderText(fields: Record<string, unknown>, info: string): string {
  const lines = Object.entries(fields)
    .filter(([key, value]) => key !== 'info' && value !== undefined && value !== '')
    .map(
      ([key, value]) =>
        `${key}: ${(Array.isArray(value) ? value.join('; ') : String(value)).replace(/\s+/g, ' ')}`,
    );
  return `${info === '' || info.endsWith('\n') ? info : `${info}\n`}${lines.join('\n')}\n`;
}

/** Tabs and line ends stay; other control characters would move a reader's cursor. */
function cleanText(text: string): string {
  return text
    .replace(/\r\n?/g, '\n')
    .replace(/(?![\n\t])\p{Cc}/gu, '?')
    .replace(/\p{Surrogate}/gu, '\uFFFD');
}

function keepEnd(text: string, limitBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= limitBytes) return text;
  let start = bytes.length - Math.max(limitBytes, 0);
  while (start < bytes.length && ((bytes[start] ?? 0) & 0xc0) === 0x80) start += 1;
  const leftOut = start + leftOutBefore(bytes.toString('utf8', 0, start));
  return `[... ${leftOut} bytes left out ...]\n${bytes.toString('utf8', start)}`;
}

/** The gateway has kept only the ends of a long output: what its mark counts is left out too, and the mark itself was no output. */
function leftOutBefore(front: string): number {
  const mark = /\n\[\.\.\. (\d{1,12}) bytes left out \.\.\.\]\n/.exec(front);
  return mark === null ? 0 : Number(mark[1]) - mark[0].length;
}

function keepStart(text: string, limitBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= limitBytes) return text;
  let end = limitBytes;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return `${bytes.toString('utf8', 0, end)}...`;
}

/**
 * One contact with the platform: reports up, commands down, in a single hybrid request (src/protocol/README.md, "A
 * check-in").
 */

export const FETCH_ALIAS = 'engine_fetch';
export const INTERVAL_ALIAS = 'update_interval';
export const STATUS_ALIAS = 'fetch_status';
/** All that gwe reads or writes (src/protocol/README.md, "Aliases"); the others are the apps' own. */
export const KNOWN_ALIASES = [
  FETCH_ALIAS,
  INTERVAL_ALIAS,
  STATUS_ALIAS,
  'engine_report',
  'device_info',
  'usage_report',
] as const;
