/** Gateways as CSV (RFC 4180): serial numbers with tags come in, and what is known about gateways goes out. */
import Papa from 'papaparse';
import { Refusal } from '../platform/http/exchange.ts';
import { checkName } from '../platform/http/names.ts';
import type { FleetGateway } from '../platform/storage/fleet-storage.ts';

interface ImportedRow {
  readonly serial: string;
  readonly tags: Readonly<Record<string, string | null>>;
}

interface Imported {
  readonly rows: readonly ImportedRow[];
  /** Names of columns that mean nothing here. */
  readonly ignored: readonly string[];
}

const MOST_ROWS = 20_000;
const MOST_COLUMNS = 50;
const TAG = /^tag\.([A-Za-z0-9_.-]{1,64})$/;
const MAX_TAG_CHARS = 256;

/**
 * The rows of a table with the columns `serial` and `tag.NAME`; an empty field removes the tag. Other columns
 * are ignored: those of an export without a word. Refuses with 422, naming the line.
 */
export function parseImport(text: string): Imported {
  if (text.includes('\ufffd'))
    throw new Refusal(422, 'cannot import: the table is not in UTF-8; save it as CSV UTF-8, and try again');
  const { data, errors } = Papa.parse<string[]>(text.replace(/^\ufeff/, ''), { skipEmptyLines: 'greedy' });
  const [error] = errors.filter(({ type }) => type === 'Quotes');
  if (error !== undefined)
    throw new Refusal(422, `cannot import row ${(error.row ?? 0) + 1}: ${error.message}`);
  const [head = [], ...rows] = data;
  const names = head.map((name) => name.trim());
  const at = names.indexOf('serial');
  if (at === -1)
    throw new Refusal(422, "cannot import: expected a first line with 'serial', and tag.NAME for tags");
  if (names.length > MOST_COLUMNS || rows.length > MOST_ROWS)
    throw new Refusal(422, `cannot import: expected at most ${MOST_ROWS} rows of ${MOST_COLUMNS} columns`);
  const seen = new Set<string>();
  const isKnown = (name: string): boolean => TAG.test(name) || COLUMNS.some((column) => column === name);
  return {
    rows: rows.map((row, index) => {
      const serial = plain(row[at] ?? '').trim();
      checkSerial(serial, index + 2, seen);
      return { serial, tags: tagsOf(names, row, index + 2) };
    }),
    ignored: names.filter((name) => name !== '' && !isKnown(name)),
  };
}

function checkSerial(serial: string, line: number, seen: Set<string>): void {
  try {
    checkName('serial number', serial);
  } catch (error) {
    throw new Refusal(
      422,
      `cannot import row ${line}${serial === '' ? '' : `, '${serial.slice(0, 40)}'`}: ${error instanceof Refusal ? error.message : 'bad serial'}`,
    );
  }
  if (seen.has(serial)) throw new Refusal(422, `cannot import row ${line}: '${serial}' is there twice`);
  seen.add(serial);
}

function tagsOf(
  names: readonly string[],
  row: readonly string[],
  line: number,
): Record<string, string | null> {
  const tags: [string, string | null][] = [];
  for (const [index, name] of names.entries()) {
    const [, key] = TAG.exec(name) ?? [];
    const value = plain(row[index] ?? '').trim();
    if (key === undefined) continue;
    if (value.length > MAX_TAG_CHARS || /\p{Cc}/u.test(value))
      throw new Refusal(
        422,
        `cannot import row ${line}: ${name} is no text of up to ${MAX_TAG_CHARS} characters`,
      );
    tags.push([key, value === '' ? null : value]);
  }
  return Object.fromEntries(tags);
}

/**
 * A spreadsheet takes a field that begins like this for a formula: an export puts a quote before it, and an import
 * removes it.
 */
const FORMULA = /^[=+\-@\t\r]/;

function plain(field: string): string {
  return field.startsWith("'") && FORMULA.test(field.slice(1)) ? field.slice(1) : field;
}

function guarded(field: string): string {
  return FORMULA.test(field) ? `'${field}` : field;
}

const COLUMNS = ['serial', 'state', 'last_seen', 'silent', 'hold', 'gwe', 'target', 'apps'] as const;

/** A table of these gateways; `keys` are the tags that have a column. */
export async function* renderExport(
  pages: AsyncIterable<readonly FleetGateway[]>,
  keys: readonly string[],
  nowS: number,
): AsyncGenerator<string> {
  yield `${renderRow([...COLUMNS, ...keys.map((key) => `tag.${key}`)])}\r\n`;
  for await (const page of pages)
    yield page
      .map(
        (gateway) =>
          `${renderRow([...fieldsOf(gateway, nowS), ...keys.map((key) => gateway.tags.get(key) ?? '')])}\r\n`,
      )
      .join('');
}

function renderRow(fields: readonly string[]): string {
  return Papa.unparse([fields.map(guarded)], { newline: '\r\n' });
}

function fieldsOf(gateway: FleetGateway, nowS: number): string[] {
  const { serial, state, lastSeenAt, expectedBy, hold = '', gweVersion = '', target = '', apps } = gateway;
  const seen = lastSeenAt === 0 ? '' : new Date(lastSeenAt * 1000).toISOString();
  const isSilent = expectedBy > 0 && nowS > expectedBy;
  const shown = [...apps].map(([app, { version, status }]) => `${app} ${version} ${status}`).join('; ');
  return [serial, state, seen, isSilent ? 'silent' : '', hold, gweVersion, target, shown];
}
