/** One contact with the platform: reports up, commands down, in a single hybrid request (design.md §6). */
import { describeError, GweError } from '../base/errors.ts';
import { saveEngineConfig } from '../config/files.ts';
import type { DataApi } from '../protocol/data.ts';
import { decodeInstruction, decodeInterval } from '../protocol/messages.ts';
import { type Command, type CommandEntry, type CommandStore, createId, digestText } from './command.ts';
import type { AgentContext } from './context.ts';
import { renderDeviceInfo } from './device-info.ts';
import { type Report, renderEngineReport, renderUsageReport } from './engine-report.ts';
import type { ReportMemory } from './report-memory.ts';
import { type TrafficCounter, trafficInterface } from './traffic.ts';

const FETCH_ALIAS = 'engine_fetch';
const INTERVAL_ALIAS = 'update_interval';
const STATUS_ALIAS = 'fetch_status';

export interface CheckInParts {
  context: AgentContext;
  data: DataApi;
  commands: CommandStore;
  memory: ReportMemory;
  traffic: TrafficCounter;
  startedMs: number;
}

/** Sends what is due and takes over what is there. Returns true when there is a command to work on. */
export async function checkIn(parts: CheckInParts): Promise<boolean> {
  const { context, data, memory } = parts;
  const reports = await buildReports(parts);
  const due = memory.select(reports, context.clock.wallMs());
  const pending = context.outbox.oldest();
  const writes: [string, string][] = [
    ...due,
    ...(pending === undefined ? [] : [[pending.alias, pending.value] as [string, string]]),
  ];
  const { values } = await data.exchange(writes, [FETCH_ALIAS, INTERVAL_ALIAS]);
  memory.sent(
    reports,
    due.map(([alias]) => alias),
    context.clock.wallMs(),
  );
  if (pending !== undefined) context.outbox.remove(pending.key);
  context.log.info('checkin.done', {
    reports: due.map(([alias]) => alias).join(',') || 'none',
    fetch_status: pending?.key,
  });
  return takeOver(parts, values);
}

async function buildReports({ context, traffic, startedMs }: CheckInParts): Promise<Record<string, Report>> {
  const iface = trafficInterface(context.device().iface);
  return {
    usage_report: renderUsageReport(iface, traffic.totals()),
    device_info: renderDeviceInfo({ arch: process.arch, gwe: context.gweVersion }),
    engine_report: await renderEngineReport(context, startedMs),
  };
}

/** Makes durable what was read, then clears it on the platform. */
async function takeOver(parts: CheckInParts, values: ReadonlyMap<string, string>): Promise<boolean> {
  const intervalText = values.get(INTERVAL_ALIAS) ?? '';
  if (intervalText !== '') applyInterval(parts.context, intervalText);
  const text = values.get(FETCH_ALIAS) ?? '';
  const isNew = noteCommand(parts, text);
  const clears: [string, string][] = [
    ...(intervalText === '' ? [] : [[INTERVAL_ALIAS, ''] as [string, string]]),
    ...(isNew || parts.commands.read().current?.clear === 'pending'
      ? [[FETCH_ALIAS, ''] as [string, string]]
      : []),
  ];
  if (clears.length > 0) await clearAliases(parts, clears);
  return parts.commands.read().current !== undefined;
}

/** An unusable value is reported and cleared like a usable one: left there it would be read for ever. */
function applyInterval(context: AgentContext, text: string): void {
  const decoded = decodeInterval(text);
  if ('problem' in decoded) {
    context.log.warn('config.interval', { found: text.slice(0, 40) }, decoded.problem);
    const info = {
      status: 'failure',
      reason: `${decoded.problem}; the interval stays ${context.settings().updateIntervalS}`,
    };
    context.outbox.put(createId(context.clock.wallMs()), STATUS_ALIAS, JSON.stringify(info));
    return;
  }
  if (decoded.seconds === context.settings().updateIntervalS) return;
  saveEngineConfig(context.layout.engineConfig, { updateIntervalS: decoded.seconds });
  context.log.info('config.interval', { seconds: decoded.seconds });
}

/** Writes a command down before anything is done about it. True if `text` is one that is not known yet. */
function noteCommand({ context, commands }: CheckInParts, text: string): boolean {
  const state = commands.read();
  const digest = digestText(text);
  if (state.current !== undefined) {
    // Stopped between writing down and clearing: an empty or another text says that the clear went through.
    const isOther = digest !== state.current.digest;
    if (state.current.clear === 'pending' && isOther) {
      commands.write({ ...state, current: { ...state.current, clear: 'shown' } });
    }
    if (text === '' || !isOther) return false;
    context.log.info('command.superseded', { command: state.current.id }, 'a newer command takes its place');
  }
  if (state.stuckDigest !== undefined && state.stuckDigest !== digest && state.current === undefined)
    commands.write({});
  if (text === '' || state.stuckDigest === digest) return false;
  commands.write({ current: { ...decodeCommand(context, text), digest } });
  return true;
}

function decodeCommand(context: AgentContext, text: string): Omit<Command, 'digest'> {
  const id = createId(context.clock.wallMs());
  const instruction = decodeInstruction(text);
  context.log.info('command.read', { command: id, bytes: text.length, kind: instruction.kind });
  const entries: CommandEntry[] =
    instruction.kind === 'install'
      ? instruction.entries
      : instruction.kind === 'invalid'
        ? [{ contentId: '', problem: instruction.reason }]
        : [];
  return { id, clear: 'pending', entries, next: 0 };
}

/** One hybrid call that empties the aliases and reads `engine_fetch` back: empty means that a later text is a new command. */
async function clearAliases(
  { context, data, commands }: CheckInParts,
  clears: [string, string][],
): Promise<void> {
  const { values } = await data.exchange(clears, [FETCH_ALIAS]);
  const state = commands.read();
  if (state.current?.clear !== 'pending') return;
  const left = values.get(FETCH_ALIAS) ?? '';
  const isStuck = left !== '' && digestText(left) === state.current.digest;
  commands.write({ ...state, current: { ...state.current, clear: isStuck ? 'not-shown' : 'shown' } });
  if (isStuck)
    context.log.warn(
      'command.not-cleared',
      { command: state.current.id },
      'the platform still shows the command after it was cleared',
    );
}

/** The last entry is done: forget the command, or remember it where the platform goes on showing it. */
export function finishCommand(commands: CommandStore, command: Command): void {
  commands.write(command.clear === 'not-shown' ? { stuckDigest: command.digest } : {});
}

/** How long the platform asks us to stay away, in ms; 0 if it does not. */
export function retryAfterMs(error: unknown): number {
  const wait = error instanceof GweError ? error.facts.retryAfterMs : undefined;
  return typeof wait === 'number' ? wait : 0;
}

export function logCheckInFailure(context: AgentContext, error: unknown): void {
  const code = error instanceof GweError ? error.code : 'bug';
  context.log.warn('checkin.failed', { code }, describeError(error));
}
