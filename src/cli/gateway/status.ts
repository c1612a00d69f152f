/**
 * `gwe status`: this gateway on one screen; with --check, what is wrong with it.
 *
 * `--json`: {version, root, identity: {vendor, model, serial, iface, hasKey}, agent: {pid, isAsleep, gweVersion, startedAt},
 * checkIn: {lastAt, isGood, reason, lastGoodAt, nextAt, intervalSeconds, longPoll: {problem}}, update: {current: {app, appVersion, state}, parked: [sentence],
 * last: {app, appVersion, outcome, endedAt, reason}}, apps: {installed, running, notRunning: [{app, state}]},
 * disk: {freeBytes, totalBytes}, traffic: {rxBytes, txBytes, requests}, reportsWaiting, problem, isHealthy,
 * problems: [text]}. `problems` is what --check says. Times are unix
 * seconds; what is not known, or is not, is null, as `longPoll` is while nothing waits for a command. `agent.pid` is null when no gwe runs.
 */
import { type AppList, listApps } from '../../agent/apps/app-list.ts';
import { isAsleep } from '../../agent/idle/handover.ts';
import { commandWait } from '../../agent/run/command-time.ts';
import type { AgentContext } from '../../agent/run/context.ts';
import { interfaceMac } from '../../agent/run/identity.ts';
import { type RunStatus, readRunStatus } from '../../agent/run/run-status.ts';
import { runningAgent } from '../../agent/run/running-agent.ts';
import { RESERVED_APP_NAME } from '../../artifact/name.ts';
import { GweError } from '../../base/errors.ts';
import { diskSpace } from '../../base/fs.ts';
import { createCommandStore, entryId, readCommands } from '../../store/command.ts';
import { type HistoryEntry, readHistory } from '../../store/history.ts';
import type { Transaction } from '../../update/journal.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { gatewayOf } from '../shell/open-gateway.ts';
import { JSON_OPTION } from '../shell/options.ts';
import {
  printDocument,
  printLabelled,
  printParagraph,
  renderBytes,
  renderMoment,
  renderSpan,
} from '../shell/screen.ts';

export const statusCommand: CommandSpec = {
  path: ['status'],
  positionals: [],
  summary: 'Show who this gateway is, its check-ins, its last update, disk and traffic',
  options: [
    {
      name: 'check',
      help: `say what is wrong, for a monitor: gwe stopped, no good check-in for 2 intervals, a program down; ${EXIT.unhealthy} if anything is`,
    },
    JSON_OPTION,
  ],
  run: runStatus,
};

interface Overview {
  pid: number | undefined;
  status: RunStatus | undefined;
  serial: string | undefined;
  current: Transaction | undefined;
  /** Fetched, and installed later: in words for each. */
  parked: string[];
  last: HistoryEntry | undefined;
  list: AppList;
}

async function runStatus(call: CommandCall): Promise<number> {
  const context = gatewayOf(call);
  const overview: Overview = {
    pid: runningAgent(context.layout),
    status: readRunStatus(context.layout),
    serial: serialOf(context),
    current: openTransaction(context),
    parked: describeParked(context),
    last: readHistory(context.layout).at(-1),
    list: withoutSelf(await listApps(context)),
  };
  const problems = findProblems(context, overview);
  const isCheck = call.options.has('check');
  if (call.options.has('json'))
    printDocument(call.io, {
      ...renderOverview(context, overview),
      isHealthy: problems.length === 0,
      problems,
    });
  else if (isCheck)
    for (const line of problems.length === 0 ? ['healthy'] : problems) printParagraph(call.io, line);
  else
    for (const [label, text] of describeOverview(context, overview))
      printLabelled(call.io, label, text, LABEL_COLUMNS);
  return isCheck && problems.length > 0 ? EXIT.unhealthy : EXIT.ok;
}

/** What somebody has to look at. */
function findProblems(context: Pick<AgentContext, 'clock' | 'settings'>, overview: Overview): string[] {
  const { apps, problem } = overview.list;
  const down = countStates(apps).notRunning.filter(({ state }) => state !== 'STARTING');
  return [
    ...agentProblems(context, overview),
    ...(problem === undefined ? [] : [`the states of the programs are not known: ${problem}`]),
    ...down.map(({ app, state }) => `program ${app} is ${state}`),
  ];
}

/** Silent intervals that are no accident any more. */
const MOST_SILENT_INTERVALS = 2;

function agentProblems(
  { clock, settings }: Pick<AgentContext, 'clock' | 'settings'>,
  { pid, status, current }: Overview,
): string[] {
  if (pid === undefined) return ["gwe is not running; start it with 'supervisorctl start gwe'"];
  // It has just started, or an update keeps it from checking in: that one has deadlines of its own.
  if (status === undefined || status.pid !== pid || current !== undefined) return [];
  const { lastCheckIn, lastGoodCheckInAtMs, nextCheckInAtMs } = status;
  const planned =
    lastCheckIn?.isGood === true && nextCheckInAtMs !== undefined ? nextCheckInAtMs - lastCheckIn.atMs : 0;
  const intervalMs = Math.max(settings().updateIntervalS * 1000, planned);
  const sinceMs = clock.wallMs() - (lastGoodCheckInAtMs ?? status.startedAtMs);
  if (sinceMs <= MOST_SILENT_INTERVALS * intervalMs) return [];
  const reason = lastCheckIn?.reason === undefined ? '' : `: ${lastCheckIn.reason}`;
  return [
    `no good check-in for ${renderSpan(sinceMs)}, with an interval of ${renderSpan(intervalMs)}${reason}`,
  ];
}

function serialOf(context: Pick<AgentContext, 'layout' | 'device'>): string | undefined {
  const { uuid, iface } = context.device();
  if (uuid !== '') return uuid;
  const found = iface === '' ? undefined : interfaceMac(iface, context.layout.root);
  return found !== undefined && 'mac' in found ? found.mac : undefined;
}

function openTransaction(context: Pick<AgentContext, 'journal'>): Transaction | undefined {
  try {
    const open = context.journal.read();
    return open?.closed === false ? open : undefined;
  } catch (error) {
    if (error instanceof GweError) return undefined; // The agent puts an unreadable journal aside at its next start.
    throw error;
  }
}

function describeParked(
  context: Pick<AgentContext, 'layout' | 'clock' | 'clockFloor' | 'settings' | 'parked'>,
): string[] {
  const { current } = readCommands(createCommandStore(context.layout.command));
  const wait = current === undefined ? undefined : commandWait(context, current, false);
  if (current === undefined || wait === undefined) return [];
  const ids = current.entries.map((_, index) => entryId(current, index));
  return ids.flatMap((id) => {
    const staged = context.parked.staged(id);
    return staged === undefined ? [] : [`${staged.app} ${staged.version} is ${wait.reason}`];
  });
}

const LABEL_COLUMNS = 10;

function describeOverview(
  context: Pick<AgentContext, 'layout' | 'clock' | 'gweVersion' | 'settings' | 'device' | 'outbox'>,
  overview: Overview,
): [label: string, text: string][] {
  const nowMs = context.clock.wallMs();
  return [
    ['gateway', describeIdentity(context, overview)],
    ['gwe', describeAgent(context, overview, nowMs)],
    ['check-in', describeCheckIn(context, overview, nowMs)],
    ['update', describeUpdates(overview, nowMs)],
    ['apps', describeApps(overview.list)],
    ['disk', describeDisk(context)],
    ['traffic', describeTraffic(overview)],
    ['reports', `${context.outbox.size()} waiting to be sent`],
  ];
}

function describeIdentity(context: Pick<AgentContext, 'device'>, { serial }: Overview): string {
  const { vendor, model, cik, iface } = context.device();
  const product =
    vendor === '' && model === ''
      ? 'no product'
      : vendor === model
        ? `product ${model}`
        : `vendor ${vendor}, model ${model}`;
  const missing = iface === '' ? 'no serial number' : `no serial number from interface ${iface}`;
  const key = cik === '' ? 'not activated' : `activated, key ...${cik.slice(-4)}`;
  return `${product}, ${serial === undefined ? missing : `serial ${serial}`}, ${key}`;
}

function describeAgent(
  context: Pick<AgentContext, 'layout' | 'gweVersion'>,
  { pid, status }: Overview,
  nowMs: number,
): string {
  if (pid === undefined) return `${context.gweVersion}, not running; start it with 'supervisorctl start gwe'`;
  const isSame = status?.pid === pid;
  const since = isSame ? ` for ${renderSpan(nowMs - status.startedAtMs)}` : '';
  const doing = isAsleep(context.layout, pid) ? 'asleep' : 'running';
  return `${isSame ? status.gweVersion : context.gweVersion}, ${doing} as process ${pid}${since}`;
}

function describeCheckIn(
  context: Pick<AgentContext, 'settings'>,
  { pid, status }: Overview,
  nowMs: number,
): string {
  const { lastCheckIn, lastGoodCheckInAtMs, nextCheckInAtMs } = status ?? {};
  const ago = (atMs: number): string => `${renderMoment(atMs)} UTC (${renderSpan(nowMs - atMs)} ago)`;
  const last =
    lastCheckIn === undefined
      ? 'none yet'
      : lastCheckIn.isGood
        ? ago(lastCheckIn.atMs)
        : `failed ${ago(lastCheckIn.atMs)}: ${lastCheckIn.reason ?? ''}; last good one ${
            lastGoodCheckInAtMs === undefined ? 'not since the start' : ago(lastGoodCheckInAtMs)
          }`;
  if (pid === undefined) return `${last}; no next one, because gwe is not running`;
  if (nextCheckInAtMs === undefined) return `${last}; at work now`;
  const left = renderSpan(nextCheckInAtMs - nowMs);
  const next = `${last}; next in ${left} (interval ${context.settings().updateIntervalS} s)`;
  return `${next}${describeLongPoll(status)}`;
}

function describeLongPoll(status: RunStatus | undefined): string {
  if (status?.longPoll === undefined) return '';
  const { problem } = status.longPoll;
  return problem === undefined
    ? ', or when a command is written (long poll)'
    : `; long polls do not work: ${problem}`;
}

function describeUpdates({ current, parked, last }: Overview, nowMs: number): string {
  const open =
    current === undefined ? [] : [`${current.app} ${current.version} is under way (${current.state})`];
  const now = [...open, ...parked].map((text) => `${text}; `).join('');
  if (last === undefined) return `${now}none yet`;
  const reason = last.reason === undefined ? '' : `: ${last.reason}`;
  const when = `${renderSpan(nowMs - last.endedAtMs)} ago`;
  return `${now}${last.app} ${last.version} ${last.outcome.replaceAll('-', ' ')} ${when}${reason}`;
}

/** gwe has a line of its own. */
function withoutSelf(list: AppList): AppList {
  return { ...list, apps: list.apps.filter(({ app }) => app !== RESERVED_APP_NAME) };
}

function describeApps({ apps, problem }: AppList): string {
  const installed = `${apps.length} installed`;
  if (problem !== undefined) return `${installed}; ${problem}`;
  const { running, notRunning } = countStates(apps);
  const down = notRunning.map(({ app, state }) => `${app} ${state}`).join(', ');
  return `${installed}, ${running} running${down === '' ? '' : `; not running: ${down}`}`;
}

function countStates(apps: AppList['apps']) {
  return {
    running: apps.filter(({ state }) => state === 'RUNNING').length,
    notRunning: apps
      .filter(({ state }) => state !== 'RUNNING' && state !== 'ONE-OFF')
      .map(({ app, state }) => ({ app, state })),
  };
}

function describeDisk(context: Pick<AgentContext, 'layout'>): string {
  const { freeBytes, totalBytes } = diskSpace(context.layout.appsDirectory);
  return `${renderBytes(freeBytes)} of ${renderBytes(totalBytes)} free for apps`;
}

function describeTraffic({ status }: Overview): string {
  if (status === undefined) return 'unknown: gwe has not checked in since the gateway was started';
  const { rxBytes, txBytes, requests } = sumTraffic(status);
  const since = `${renderMoment(status.startedAtMs)} UTC`;
  return `${renderBytes(txBytes)} sent, ${renderBytes(rxBytes)} received in ${requests} requests since ${since}`;
}

function sumTraffic(status: RunStatus) {
  const totals = Object.values(status.traffic);
  const sum = (key: 'rxBytes' | 'txBytes' | 'requests'): number =>
    totals.reduce((total, each) => total + each[key], 0);
  return { rxBytes: sum('rxBytes'), txBytes: sum('txBytes'), requests: sum('requests') };
}

function renderOverview(
  context: Pick<AgentContext, 'layout' | 'gweVersion' | 'settings' | 'device' | 'outbox'>,
  overview: Overview,
): Record<string, unknown> {
  const { pid, status, serial, current, last, list } = overview;
  const { vendor, model, iface, cik } = context.device();
  const seconds = (ms: number | undefined): number | null =>
    ms === undefined ? null : Math.round(ms / 1000);
  const { freeBytes, totalBytes } = diskSpace(context.layout.appsDirectory);
  return {
    root: context.layout.root,
    identity: { vendor, model, serial: serial ?? null, iface, hasKey: cik !== '' },
    agent: {
      pid: pid ?? null,
      isAsleep: pid !== undefined && isAsleep(context.layout, pid),
      gweVersion: status?.gweVersion ?? context.gweVersion,
      startedAt: seconds(status?.startedAtMs),
    },
    checkIn: {
      lastAt: seconds(status?.lastCheckIn?.atMs),
      isGood: status?.lastCheckIn?.isGood ?? null,
      reason: status?.lastCheckIn?.reason ?? null,
      lastGoodAt: seconds(status?.lastGoodCheckInAtMs),
      nextAt: pid === undefined ? null : seconds(status?.nextCheckInAtMs),
      intervalSeconds: context.settings().updateIntervalS,
      longPoll:
        pid === undefined || status?.longPoll === undefined
          ? null
          : { problem: status.longPoll.problem ?? null },
    },
    update: {
      current:
        current === undefined
          ? null
          : { app: current.app, appVersion: current.version, state: current.state },
      parked: overview.parked,
      last:
        last === undefined
          ? null
          : {
              app: last.app,
              appVersion: last.version,
              outcome: last.outcome,
              endedAt: seconds(last.endedAtMs),
              reason: last.reason ?? null,
            },
    },
    apps: { installed: list.apps.length, ...countStates(list.apps) },
    disk: { freeBytes, totalBytes },
    traffic: status === undefined ? null : sumTraffic(status),
    reportsWaiting: context.outbox.size(),
    problem: list.problem ?? null,
  };
}
