/**
 * `gwe status`: this gateway on one screen.
 *
 * `--json`: {version, root, identity: {vendor, model, serial, iface, hasKey}, agent: {pid, isAsleep, gweVersion, startedAt},
 * checkIn: {lastAt, isGood, reason, lastGoodAt, nextAt, intervalSeconds, longPoll: {problem}}, update: {current: {app, appVersion, state},
 * last: {app, appVersion, outcome, endedAt, reason}}, apps: {installed, running, notRunning: [{app, state}]},
 * disk: {freeBytes, totalBytes}, traffic: {rxBytes, txBytes, requests}, reportsWaiting, problem}. Times are unix
 * seconds; what is not known, or is not, is null, as `longPoll` is while nothing waits for a command. `agent.pid` is null when no gwe runs.
 */
import { join } from 'node:path';
import { type AppList, listApps } from '../agent/app-list.ts';
import type { AgentContext } from '../agent/context.ts';
import { isAsleep } from '../agent/handover.ts';
import { type HistoryEntry, readHistory } from '../agent/history.ts';
import { interfaceMac } from '../agent/identity.ts';
import { type RunStatus, readRunStatus } from '../agent/run-status.ts';
import { runningAgent } from '../agent/running-agent.ts';
import { GweError } from '../base/errors.ts';
import { diskSpace } from '../base/fs.ts';
import type { Transaction } from '../update/journal.ts';
import type { CommandCall, CommandSpec } from './command.ts';
import { EXIT } from './exit.ts';
import { gatewayOf } from './gateway.ts';
import { JSON_OPTION } from './options.ts';
import { printDocument, printLabelled, renderBytes, renderMoment, renderSpan } from './screen.ts';

export const statusCommand: CommandSpec = {
  path: ['status'],
  positionals: [],
  summary: 'Show who this gateway is, its check-ins, its last update, disk and traffic',
  options: [JSON_OPTION],
  run: runStatus,
};

interface Overview {
  pid: number | undefined;
  status: RunStatus | undefined;
  serial: string | undefined;
  current: Transaction | undefined;
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
    last: readHistory(join(context.layout.stateDirectory, 'history.json')).at(-1),
    list: await listApps(context),
  };
  if (call.options.has('json')) printDocument(call.io, renderOverview(context, overview));
  else
    for (const [label, text] of describeOverview(context, overview))
      printLabelled(call.io, label, text, LABEL_COLUMNS);
  return EXIT.ok;
}

function serialOf(context: AgentContext): string | undefined {
  const { uuid, iface } = context.device();
  if (uuid !== '') return uuid;
  return iface === '' ? undefined : interfaceMac(iface, context.layout.root);
}

function openTransaction(context: AgentContext): Transaction | undefined {
  try {
    const open = context.journal.read();
    return open?.closed === false ? open : undefined;
  } catch (error) {
    if (error instanceof GweError) return undefined; // The agent puts an unreadable journal aside at its next start.
    throw error;
  }
}

const LABEL_COLUMNS = 10;

function describeOverview(context: AgentContext, overview: Overview): [label: string, text: string][] {
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

function describeIdentity(context: AgentContext, { serial }: Overview): string {
  const { vendor, model, cik, iface } = context.device();
  const product =
    vendor === '' && model === ''
      ? 'no product'
      : vendor === model
        ? `product ${model}`
        : `vendor ${vendor}, model ${model}`;
  const missing = iface === '' ? 'no serial number' : `no serial number (no interface ${iface})`;
  const key = cik === '' ? 'not activated' : `activated, key ...${cik.slice(-4)}`;
  return `${product}, ${serial === undefined ? missing : `serial ${serial}`}, ${key}`;
}

function describeAgent(context: AgentContext, { pid, status }: Overview, nowMs: number): string {
  if (pid === undefined) return `${context.gweVersion}, not running; start it with 'supervisorctl start gwe'`;
  const isSame = status?.pid === pid;
  const since = isSame ? ` for ${renderSpan(nowMs - status.startedAtMs)}` : '';
  const doing = isAsleep(context.layout, pid) ? 'asleep' : 'running';
  return `${isSame ? status.gweVersion : context.gweVersion}, ${doing} as process ${pid}${since}`;
}

function describeCheckIn(context: AgentContext, { pid, status }: Overview, nowMs: number): string {
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
  if (pid === undefined) return `${last}; no next one, for gwe does not run`;
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

function describeUpdates({ current, last }: Overview, nowMs: number): string {
  const now =
    current === undefined ? '' : `${current.app} ${current.version} is under way (${current.state}); `;
  if (last === undefined) return `${now}none yet`;
  const reason = last.reason === undefined ? '' : `: ${last.reason}`;
  const when = `${renderSpan(nowMs - last.endedAtMs)} ago`;
  return `${now}${last.app} ${last.version} ${last.outcome.replaceAll('-', ' ')} ${when}${reason}`;
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

function describeDisk(context: AgentContext): string {
  const { freeBytes, totalBytes } = diskSpace(context.layout.appsDirectory);
  return `${renderBytes(freeBytes)} of ${renderBytes(totalBytes)} free for apps`;
}

function describeTraffic({ status }: Overview): string {
  if (status === undefined) return 'not known: no gwe has checked in since the gateway was started';
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

function renderOverview(context: AgentContext, overview: Overview): Record<string, unknown> {
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
