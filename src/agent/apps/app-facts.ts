/** What is known of each installed app: its version, its program, what that uses, and how its last update ended. */
import { RESERVED_APP_NAME } from '../../artifact/name.ts';
import type { VersionRecord } from '../../artifact/record.ts';
import { type HistoryEntry, readHistory } from '../../store/history.ts';
import { reasonSetAside } from '../../store/set-aside.ts';
import type { ProcessInfo } from '../../supervisor/client.ts';
import type { AgentContext } from '../run/context.ts';
import { countRestarts } from './restarts.ts';
import type { SupervisordFacts } from './supervisord-facts.ts';

export interface AppFacts {
  app: string;
  version: string;
  /** supervisord's state; EXITED for an app without a program, UNKNOWN when supervisord cannot tell. */
  status: string;
  exitStatus: number;
  /** How long the program has been RUNNING. */
  uptimeS?: number;
  /** The process that is shown. */
  pid?: number;
  /** Why it could not be started, in supervisord's words. */
  problem?: string;
  digest?: string;
  previous?: string;
  installedAtMs?: number;
  restarts?: number;
  last?: Pick<HistoryEntry, 'outcome' | 'version' | 'endedAtMs' | 'code'>;
}

/** The facts of the agent, which may be another process than this one. */
export interface OwnFacts {
  isAgent: boolean;
  pid: number | undefined;
  uptimeS: number | undefined;
}

/** gwe first, then the apps in the order of their names. Those of which no version is active are left out. */
export function readAppFacts(
  context: Pick<AgentContext, 'layout' | 'gweVersion' | 'installed'>,
  supervisord: SupervisordFacts,
  own: OwnFacts,
): AppFacts[] {
  const { layout } = context;
  const all = context.installed.all();
  const history = readHistory(layout);
  const apps = Object.keys(all)
    .filter((app) => app !== RESERVED_APP_NAME && all[app]?.active !== undefined)
    .sort();
  const groups = new Map<string, ProcessInfo[]>();
  for (const info of supervisord.processes ?? []) {
    groups.set(info.group, [...(groups.get(info.group) ?? []), info]);
  }
  const watched = apps.flatMap((app) => {
    const active = all[app]?.active;
    const processes = groups.get(app);
    return active?.hasProgram === true && processes !== undefined
      ? [{ app, digest: active.digest, installedAtMs: active.installedAtMs, processes }]
      : [];
  });
  const restarts = countRestarts(layout.restarts, watched, supervisord.log, own.isAgent);
  const lastOf = (app: string): Pick<AppFacts, 'last'> => {
    const last = history.findLast((entry) => entry.app === app);
    return last === undefined ? {} : { last };
  };
  const gwe: AppFacts = {
    app: RESERVED_APP_NAME,
    version: context.gweVersion,
    status: own.pid === undefined ? 'STOPPED' : 'RUNNING',
    exitStatus: 0,
    ...(own.uptimeS === undefined ? {} : { uptimeS: own.uptimeS }),
    ...(own.pid === undefined ? {} : { pid: own.pid }),
    ...recordFacts(all[RESERVED_APP_NAME]?.active, all[RESERVED_APP_NAME]?.previous),
    ...lastOf(RESERVED_APP_NAME),
  };
  const rows = apps.flatMap((app): AppFacts[] => {
    const { active, previous } = all[app] ?? {};
    if (active === undefined) return [];
    const count = restarts.get(app);
    return [
      {
        app,
        version: active.version,
        ...programFacts(active, groups.get(app)),
        ...asideFacts(context, app),
        ...recordFacts(active, previous),
        ...(count === undefined ? {} : { restarts: count }),
        ...lastOf(app),
      },
    ];
  });
  return [gwe, ...rows];
}

function recordFacts(
  active: VersionRecord | undefined,
  previous: VersionRecord | undefined,
): Pick<AppFacts, 'digest' | 'previous' | 'installedAtMs'> {
  return {
    ...(active === undefined ? {} : { digest: active.digest, installedAtMs: active.installedAtMs }),
    ...(previous === undefined ? {} : { previous: previous.version }),
  };
}

/** Moved out of the way until supervisord can read it again. */
function asideFacts({ layout }: Pick<AgentContext, 'layout'>, app: string): Pick<AppFacts, 'problem'> {
  const reason = reasonSetAside(layout, app);
  return reason === undefined ? {} : { problem: `its program entry is set aside: ${reason}` };
}

/** A group is as healthy as its least healthy process. */
function programFacts(
  active: VersionRecord,
  group: readonly ProcessInfo[] | undefined,
): Pick<AppFacts, 'status' | 'exitStatus' | 'uptimeS' | 'pid' | 'problem'> {
  if (!active.hasProgram) return { status: 'EXITED', exitStatus: 0 };
  const shown = group?.find((info) => info.statename !== 'RUNNING') ?? group?.[0];
  if (shown === undefined) return { status: 'UNKNOWN', exitStatus: 0 };
  return {
    status: shown.statename,
    exitStatus: shown.exitstatus,
    ...(shown.statename === 'RUNNING' ? { uptimeS: Math.max(0, shown.now - shown.start) } : {}),
    ...(shown.pid > 0 ? { pid: shown.pid } : {}),
    ...(shown.spawnerr === '' ? {} : { problem: shown.spawnerr }),
  };
}
