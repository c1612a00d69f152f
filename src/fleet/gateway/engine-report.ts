/** `engine_report` as the agent writes it (one-platform.md §4.2): the apps of a gateway, one object of one key each. */
import { APP_NAME_PATTERN, APP_VERSION_PATTERN } from '../../artifact/name.ts';
import { countOf, fieldsOf, listOf, matchOf, parseJson, textOf } from './decode.ts';
import { OUTCOMES } from './fetch-status.ts';
import type { AppRecord } from './record.ts';

/** More apps of one gateway than these are not kept. */
export const MAX_APPS = 256;

const DIGEST = /^[0-9a-f]{64}$/;

interface EngineReport {
  readonly apps: ReadonlyMap<string, AppRecord>;
  /** There are more on the gateway than the report has room for: what is not in it may be there all the same. */
  readonly isCut: boolean;
  /** Rows that say nothing that can be used. */
  readonly badRows: number;
}

/** `undefined` for what is no report of apps. `seenAt`: Unix seconds of the report. */
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
 * What is known after a report: its apps, and where it was cut the others that were known. A row too short for its
 * digest keeps the one that was known of the same version.
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
