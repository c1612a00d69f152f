/** Shows gwe's reports in a form for people: `gwe platform read` on a terminal. */
import type { CommandIo } from '../shell/command.ts';
import { printable, printLabelled } from '../shell/screen.ts';

/** The aliases to which gwe writes JSON. */
const REPORTS = ['fetch_status', 'engine_report', 'device_info', 'usage_report'];

/**
 * Prints the fields of a report, nested ones with a dot in the name. False for anything but a report, which is
 * printed as it is.
 */
export function printReport(io: CommandIo, alias: string, value: string): boolean {
  const fields = REPORTS.includes(alias) ? fieldsOf(value) : undefined;
  if (fields === undefined || fields.length === 0) return false;
  const columns = Math.min(24, Math.max(...fields.map(([name]) => name.length))) + 2;
  for (const [name, text] of fields)
    for (const [index, line] of text.split('\n').entries())
      printLabelled(io, printable(index === 0 ? name : ''), line, columns);
  return true;
}

function fieldsOf(value: string): [name: string, text: string][] | undefined {
  try {
    const parsed: unknown = JSON.parse(value);
    return typeof parsed === 'object' && parsed !== null ? flatten(parsed, '') : undefined;
  } catch {
    return undefined;
  }
}

/** A list of objects is shown by what is in them; everything else as a line for each value. */
function flatten(value: object, prefix: string): [string, string][] {
  return Object.entries(value).flatMap(([key, inner]: [string, unknown]): [string, string][] => {
    const name = Array.isArray(value) ? prefix.replace(/\.$/, '') : `${prefix}${key}`;
    if (Array.isArray(inner) && inner.every((one) => typeof one !== 'object' || one === null))
      return [[name, inner.join(', ')]];
    if (typeof inner === 'object' && inner !== null) return flatten(inner, `${name}.`);
    return [[name, String(inner ?? '-').trimEnd()]];
  });
}
