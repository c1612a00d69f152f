/** `engine_report` and `usage_report` (spec §4.2). */
import { describeError } from '../base/errors.ts';
import type { ProcessInfo } from '../supervisor/client.ts';
import type { AgentContext } from './context.ts';
import type { TrafficTotals } from './traffic.ts';

/** A report's text, and the part of it that tells whether it is worth sending again. */
export interface Report {
  text: string;
  stable: string;
}

interface AppRow {
  version: string;
  status: string;
  uptime: string;
  exitstatus: number;
}

/** An array of one-key objects, one app each; gwe lists itself first. */
export async function renderEngineReport(context: AgentContext, startedMs: number): Promise<Report> {
  const processes = await listProcesses(context);
  const own: AppRow = {
    version: context.gweVersion,
    status: 'RUNNING',
    uptime: renderUptime((context.clock.monotonicMs() - startedMs) / 1000),
    exitstatus: 0,
  };
  const apps: [string, AppRow][] = Object.entries(context.installed.all()).flatMap(([app, record]) =>
    record.active === undefined
      ? []
      : [
          [
            app,
            appRow(
              record.active,
              processes?.filter((info) => info.group === app),
            ),
          ],
        ],
  );
  const rows = [['gwe', own] as const, ...apps];
  return {
    text: renderRows(rows, context.settings().maxReportBytes),
    stable: JSON.stringify(rows.map(([app, row]) => [app, row.version, row.status, row.exitstatus])),
  };
}

/** As many rows as fit, the first ones; `more` counts the others. */
function renderRows(rows: readonly (readonly [string, AppRow])[], limitBytes: number): string {
  const apps: Record<string, AppRow>[] = [];
  let leftBytes = limitBytes - Buffer.byteLength(JSON.stringify({ apps, more: rows.length }));
  for (const [app, row] of rows) {
    leftBytes -= Buffer.byteLength(JSON.stringify({ [app]: row })) + 1;
    if (leftBytes < 0) break;
    apps.push({ [app]: row });
  }
  const more = rows.length - apps.length;
  return JSON.stringify(more === 0 ? { apps } : { apps, more });
}

/** With supervisord absent the report goes out all the same; the states in it are UNKNOWN. */
async function listProcesses(context: AgentContext): Promise<ProcessInfo[] | undefined> {
  if (Object.values(context.installed.all()).every((record) => record.active?.hasProgram !== true)) return [];
  try {
    return await context.supervisor().getAllProcessInfo();
  } catch (error) {
    context.log.warn('supervisor.unreachable', {}, describeError(error));
    return undefined;
  }
}

function appRow(
  active: { version: string; hasProgram: boolean },
  processes: ProcessInfo[] | undefined,
): AppRow {
  const [first] = processes ?? [];
  if (!active.hasProgram) return { version: active.version, status: 'EXITED', uptime: '', exitstatus: 0 };
  if (first === undefined) return { version: active.version, status: 'UNKNOWN', uptime: '', exitstatus: 0 };
  const isUp = first.statename === 'RUNNING';
  return {
    version: active.version,
    status: first.statename,
    uptime: isUp ? renderUptime(first.now - first.start) : '',
    exitstatus: first.exitstatus,
  };
}

/** `1:02:51`, as supervisorctl shows it. */
export function renderUptime(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

/** Three levels: interface, group (`gwe`), method; `top_consumer` stands beside the groups. */
export function renderUsageReport(iface: string, totals: TrafficTotals): Report {
  const methods = Object.fromEntries(
    Object.entries(totals).map(([method, total]) => [
      method,
      {
        tot_rx: total.rxBytes,
        max_rx: total.maxRxBytes,
        tot_tx: total.txBytes,
        max_tx: total.maxTxBytes,
        num: total.requests,
      },
    ]),
  );
  return {
    text: JSON.stringify({ [iface]: { top_consumer: 'gwe', gwe: methods } }),
    // Every check-in adds to `read` and `write`: only downloads make the report worth sending by itself.
    stable: JSON.stringify([iface, totals.download?.requests ?? 0]),
  };
}
