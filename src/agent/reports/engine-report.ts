import { cutText } from '../../base/text.ts';
import { readProcessTable, type TreeFacts } from '../../machine/process-tree.ts';
import type { SystemFiles } from '../../machine/system-files.ts';
import type { AppFacts } from '../apps/app-facts.ts';
import { jsonBytes } from './report-size.ts';

/**
 * `engine_report` (one-platform.md §4.2): an array of one-key objects, one app each; our own fields after the
 * documented four.
 */

/** A report's text, made when it is asked for, and the part of it that tells whether it is worth sending again. */
export interface Report {
  readonly text: string;
  stable: string;
}

const LONGEST_WORDS_BYTES = 200;

type Row = Record<string, unknown>;

/** `problem`: why supervisord could not tell everything. */
export function renderEngineReport(
  apps: readonly AppFacts[],
  parts: { files: SystemFiles; maxBytes: number; problem?: string | undefined },
): Report {
  return {
    get text() {
      const processes = readProcessTable(parts.files);
      const rows = apps.map((facts) => {
        const tree = facts.pid === undefined ? undefined : processes.tree(facts.pid);
        return {
          app: facts.app,
          isUp: facts.status === 'RUNNING',
          short: shortRow(facts),
          own: ownFields(facts, tree),
        };
      });
      const missing =
        parts.problem === undefined
          ? {}
          : { missing: [`supervisord: ${cutText(parts.problem, LONGEST_WORDS_BYTES)}`] };
      return fitRows(rows, missing, parts.maxBytes);
    },
    stable: JSON.stringify(
      apps.map(({ app, version, status, exitStatus, digest, previous, restarts, last }) => [
        [app, version, status, exitStatus, digest, previous],
        // A crash loop is reported when its count doubles, not at each check-in.
        Math.ceil(Math.log2((restarts ?? 0) + 1)),
        last?.endedAtMs,
      ]),
    ),
  };
}

function shortRow(facts: AppFacts): Row {
  return {
    version: facts.version,
    status: facts.status,
    uptime: facts.uptimeS === undefined ? '' : renderUptime(facts.uptimeS),
    exitstatus: facts.exitStatus,
  };
}

function ownFields(facts: AppFacts, tree: TreeFacts | undefined): Row {
  const { digest, previous, installedAtMs, restarts, pid, problem, last } = facts;
  const seconds = (ms: number | undefined): number | undefined =>
    ms === undefined ? undefined : Math.round(ms / 1000);
  return {
    digest,
    previous,
    installed: seconds(installedAtMs),
    restarts,
    pid,
    ...(tree === undefined
      ? {}
      : {
          processes: tree.processes,
          memory: tree.memoryBytes,
          memory_kind: tree.memoryKind,
          cpu: tree.cpuSeconds,
        }),
    problem: problem === undefined ? undefined : cutText(problem, LONGEST_WORDS_BYTES),
    last:
      last === undefined
        ? undefined
        : { outcome: last.outcome, version: last.version, at: seconds(last.endedAtMs), code: last.code },
  };
}

interface FitRow {
  app: string;
  isUp: boolean;
  short: Row;
  own: Row;
}

/**
 * All rows with the documented fields first, as many as fit (`more` counts the others), then our own fields: those of
 * programs that do not run before those that do (`short` counts the rows that had to do without).
 */
function fitRows(rows: readonly FitRow[], missing: Row, limitBytes: number): string {
  const kept: FitRow[] = [];
  let leftBytes = limitBytes - jsonBytes({ apps: [], more: rows.length, short: rows.length, ...missing });
  for (const row of rows) {
    const bytes = jsonBytes({ [row.app]: row.short }) + 1;
    if (bytes > leftBytes) break;
    leftBytes -= bytes;
    kept.push(row);
  }
  const full = new Set<FitRow>();
  for (const row of [...kept.filter((each) => !each.isUp), ...kept.filter((each) => each.isUp)]) {
    const bytes = jsonBytes(row.own);
    if (bytes > leftBytes) continue;
    leftBytes -= bytes;
    full.add(row);
  }
  const more = rows.length - kept.length;
  const short = kept.length - full.size;
  return JSON.stringify({
    apps: kept.map((row) => ({ [row.app]: full.has(row) ? { ...row.short, ...row.own } : row.short })),
    ...(more === 0 ? {} : { more }),
    ...(short === 0 ? {} : { short }),
    ...missing,
  });
}

/** `1:02:51`, as supervisorctl shows it. */
function renderUptime(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}
