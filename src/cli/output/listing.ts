/** `-o table|csv|json` of everything that is a list. */
import { GweError } from '../../base/errors.ts';
import type { CommandCall, OptionSpec, ParsedOptions } from '../shell/command.ts';
import { JSON_OPTION, LIST_FORMATS } from '../shell/options.ts';
import { printDocument } from '../shell/screen.ts';

type Format = (typeof LIST_FORMATS)[number];

/** `--json` is short for `-o json`. */
export const LIST_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'output',
    short: 'o',
    value: 'FORMAT',
    help: `${LIST_FORMATS.slice(0, -1).join(', ')} or ${LIST_FORMATS.at(-1)}; csv has every column`,
    default: 'table',
  },
  JSON_OPTION,
];

interface Listing {
  /** What `-o json` prints. */
  document: Readonly<Record<string, unknown>>;
  /** What `-o csv` prints: a heading of the same names as in JSON, and a line for each row. */
  fields: readonly string[];
  rows: readonly Readonly<Record<string, unknown>>[];
  printText(): void;
}

export function printListing({ io, options }: Pick<CommandCall, 'io' | 'options'>, listing: Listing): void {
  const format = listFormat(options);
  if (format === 'json') printDocument(io, listing.document);
  else if (format === 'csv') io.stdout(renderCsv(listing));
  else listing.printText();
}

function renderCsv({ fields, rows }: Listing): string {
  const lines = rows.map((row) => fields.map((name) => csvField(row[name])).join(','));
  return `${[fields.join(','), ...lines].join('\n')}\n`;
}

/** Throws USAGE_BAD_VALUE, USAGE_BAD_OPTION. */
function listFormat(options: ParsedOptions): Format {
  const text = options.text('output') ?? (options.has('json') ? 'json' : 'table');
  const format = LIST_FORMATS.find((each) => each === text);
  if (format === undefined)
    throw new GweError(
      'USAGE_BAD_VALUE',
      `--output: found '${text.slice(0, 40)}', expected ${LIST_FORMATS.join(', ')}`,
    );
  if (options.has('json') && format !== 'json')
    throw new GweError(
      'USAGE_BAD_OPTION',
      `--json and --output ${format} do not go together; give one of them`,
    );
  return format;
}

/** By RFC 4180; nothing for what is not known, JSON for what is more than a word. */
function csvField(value: unknown): string {
  if (value === null || value === undefined) return '';
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
