/** `engine_report` as the agent writes it (one-platform.md §4.2): the apps of a gateway, one object of one key each. */
import { APP_NAME_PATTERN, APP_VERSION_PATTERN } from '../../artifact/name.ts';
import { countOf, fieldsOf, listOf, matchOf, parseJson, textOf } from './decode.ts';
import { OUTCOMES } from './fetch-status.ts';
import type { AppRecord } from './record.ts';

/** At most this many apps of one gateway are kept. */
export const MAX_APPS = 256;

const DIGEST = /^[0-9a-f]{64}$/;

interface EngineReport {
  readonly apps: ReadonlyMap<string, AppRecord>;
  /** The gateway has more apps than the report has room for: an app that is missing here may still be installed. */
  readonly isCut: boolean;
  /** How many rows could not be used. */
  readonly badRows: number;
}

/** `undefined` for anything that is not a report of apps. `seenAt`: Unix seconds of the report. */
export function decodeEngineReport(text: string, seenAt: number): EngineReport | undefined {
  const parsed = parseJson(text);
  const found = Array.isArray(parsed) ? parsed : fieldsOf(parsed)?.apps;
  if (!Array.isArray(found)) return undefined;
  const apps = new Map<string, AppRecord>();
  let badRows = 0;
  for (const one of listOf(found, MAX_APPS)) {
    const rows = Object.entries(fieldsOf(one) ?? {});
    const [name, fields] = rows[0] ?? [];
    const app = rows.length === 1 ? matchOf(name, APP_NAME_PATTERN) : undefined;
    const record = app === undefined ? undefined : decodeRow(fieldsOf(fields) ?? {}, seenAt);
    if (app === undefined || record === undefined) badRows += 1;
    else apps.set(app, record);
  }
  const isCut = found.length > MAX_APPS || (countOf(fieldsOf(parsed)?.more) ?? 0) > 0;
  return { apps, isCut, badRows };
}

function decodeRow(fields: Readonly<Record<string, unknown>>, seenAt: number): AppRecord | undefined {
  const version = matchOf(fields.version, APP_VERSION_PATTERN);
  if (version === undefined) return undefined;
  const outcome = fieldsOf(fields.last)?.outcome;
  return {
    version,
    digest: matchOf(fields.digest, DIGEST),
    previous: matchOf(fields.previous, APP_VERSION_PATTERN),
    status: textOf(fields.status, 32) ?? 'UNKNOWN',
    restarts: countOf(fields.restarts),
    lastOutcome: OUTCOMES.find((one) => one === outcome),
    seenAt,
  };
}

/**
 * What is known after a report: its apps, and, if it was cut, the other apps that were known before. A row that had
 * no room for its digest keeps the known digest of the same version.
 */
export function mergeApps(
  known: ReadonlyMap<string, AppRecord>,
  report: EngineReport,
): ReadonlyMap<string, AppRecord> {
  const merged = new Map(report.isCut ? known : []);
  for (const [app, record] of report.apps) {
    const before = known.get(app);
    const isSame = before?.version === record.version;
    merged.set(app, isSame ? { ...record, digest: record.digest ?? before.digest } : record);
  }
  return new Map([...merged].slice(0, MAX_APPS));
}
