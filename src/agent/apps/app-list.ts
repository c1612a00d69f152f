/** The installed apps, with what supervisord says of them now. */
import { RESERVED_APP_NAME } from '../../artifact/name.ts';
import { describeError, GweError } from '../../base/errors.ts';
import type { ProcessInfo } from '../../supervisor/client.ts';
import type { AgentContext } from '../run/context.ts';
import { readRunStatus } from '../run/run-status.ts';
import { runningAgent } from '../run/running-agent.ts';

export interface AppState {
  app: string;
  /** The active version. */
  version: string;
  /** supervisord's state name; `ONE-OFF` for an app without a program, `UNKNOWN` when supervisord cannot tell. */
  state: string;
  /** How long the program has been running. */
  uptimeMs?: number;
  pid?: number;
  exitStatus?: number;
  installedAtMs: number;
  /** The version that a rollback would bring back. */
  previous?: string;
  digest: string;
}

export interface AppList {
  apps: AppState[];
  /** Why the states are not known; absent when they are, or when no app has a program. */
  problem?: string;
}

/** In the order of their names. Apps of which no version is active are left out. */
export async function listApps(
  context: Pick<AgentContext, 'layout' | 'clock' | 'installed' | 'supervisor'>,
): Promise<AppList> {
  const records = Object.entries(context.installed.all()).sort(([a], [b]) => (a < b ? -1 : 1));
  const hasPrograms = records.some(([, record]) => record.active?.hasProgram === true);
  const { processes, problem } = hasPrograms ? await askSupervisord(context) : { processes: [] };
  const apps = records.flatMap(([app, { active, previous }]): AppState[] => {
    if (active === undefined) return [];
    const group = processes?.filter((info) => info.group === app);
    return [
      {
        app,
        version: active.version,
        ...(app === RESERVED_APP_NAME
          ? ownState(context)
          : active.hasProgram
            ? programState(group)
            : { state: 'ONE-OFF' }),
        installedAtMs: active.installedAtMs,
        ...(previous === undefined ? {} : { previous: previous.version }),
        digest: active.digest,
      },
    ];
  });
  return problem === undefined ? { apps } : { apps, problem };
}

/** The row of gwe itself, found by its lock: systemd may run it, and supervisord may be away. */
export function ownState({
  layout,
  clock,
}: Pick<AgentContext, 'layout' | 'clock'>): Pick<AppState, 'state' | 'uptimeMs' | 'pid'> {
  const pid = runningAgent(layout);
  if (pid === undefined) return { state: 'STOPPED' };
  const status = readRunStatus(layout);
  const uptime = status?.pid === pid ? { uptimeMs: clock.wallMs() - status.startedAtMs } : {};
  return { state: 'RUNNING', pid, ...uptime };
}

async function askSupervisord(
  context: Pick<AgentContext, 'supervisor'>,
): Promise<{ processes?: ProcessInfo[]; problem?: string }> {
  try {
    return { processes: await context.supervisor().getAllProcessInfo() };
  } catch (error) {
    if (error instanceof GweError) return { problem: describeError(error) };
    throw error;
  }
}

/** A group is as healthy as its least healthy process. */
function programState(
  group: readonly ProcessInfo[] | undefined,
): Pick<AppState, 'state' | 'uptimeMs' | 'pid' | 'exitStatus'> {
  const shown = group?.find((info) => info.statename !== 'RUNNING') ?? group?.[0];
  if (shown === undefined) return { state: 'UNKNOWN' };
  if (shown.statename !== 'RUNNING') return { state: shown.statename, exitStatus: shown.exitstatus };
  return { state: 'RUNNING', uptimeMs: Math.max(0, shown.now - shown.start) * 1000, pid: shown.pid };
}
