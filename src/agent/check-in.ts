/** One contact with the platform: reports up, commands down, in a single hybrid request (design.md §6). */
import { describeError, GweError } from '../base/errors.ts';
import { saveEngineConfig } from '../config/files.ts';
import type { DataApi } from '../protocol/data.ts';
import { decodeInstruction, decodeInterval } from '../protocol/messages.ts';
import { type Command, type CommandEntry, type CommandStore, digestText, entryId } from './command.ts';
import type { AgentContext } from './context.ts';
import type { Report } from './engine-report.ts';
import { renderEntryReport, reportEntry } from './entry-report.ts';
import { writeMetrics } from './metrics.ts';
import { nextReport } from './next-report.ts';
import type { PendingReport } from './outbox.ts';
import { type PollMemory, sinceRead } from './poll-memory.ts';
import type { ReportMemory } from './report-memory.ts';
import { gatherReports } from './reports.ts';

export const FETCH_ALIAS = 'engine_fetch';
export const INTERVAL_ALIAS = 'update_interval';
export const STATUS_ALIAS = 'fetch_status';

export interface CheckInParts {
  context: AgentContext;
  data: DataApi;
  commands: CommandStore;
  memory: ReportMemory;
  polls: PollMemory;
  startedMs: number;
}

/** In the place of the digest of a command that was too long to be read. */
const TOO_LONG = 'too long';

/** Sends what is due and takes over what is there. Returns true when there is a command to work on. */
export async function checkIn(parts: CheckInParts): Promise<boolean> {
  const { context, memory } = parts;
  const uptimeS = (context.clock.monotonicMs() - parts.startedMs) / 1000;
  const gathered = await gatherReports(context, { isAgent: true, pid: process.pid, uptimeS });
  const reports = affordable(context, gathered.reports);
  const due = memory.select(reports, context.clock.wallMs());
  const pending = await nextReport(parts);
  memory.isInDoubt = pending !== undefined;
  const values = await exchangeReports(parts, due, pending).catch((error: unknown) => {
    writeMetrics(context, gathered, { isGood: false });
    throw error;
  });
  writeMetrics(context, gathered, { isGood: true });
  if (values === undefined) return false;
  if (pending !== undefined) context.outbox.remove(pending.key);
  memory.isInDoubt = false;
  memory.sent(
    reports,
    due.map(([alias]) => alias),
    context.clock.wallMs(),
  );
  context.log.info('checkin.done', {
    reports: due.map(([alias]) => alias).join(',') || 'none',
    fetch_status: pending?.key,
  });
  return takeOver(parts, values);
}

type Pair = [alias: string, value: string];

/**
 * The values of the two command aliases. A report that the platform alone refuses is dropped: kept, it would stand
 * before every command for ever. `undefined` for a command too long to be read: reported and cleared unread.
 */
async function exchangeReports(
  parts: CheckInParts,
  due: readonly Pair[],
  pending: PendingReport | undefined,
): Promise<ReadonlyMap<string, string> | undefined> {
  const { context } = parts;
  const reads = [FETCH_ALIAS, INTERVAL_ALIAS];
  const writes: Pair[] = pending === undefined ? [...due] : [...due, [pending.alias, pending.value]];
  try {
    return await exchange(parts, writes, reads);
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    if (error.code === 'PROTOCOL_TOO_LARGE' && (await clearTooLong(parts, error))) return undefined;
    const isRefused =
      error.code === 'PROTOCOL_REFUSED' && [400, 413, 422].includes(Number(error.facts.status));
    if (pending === undefined || !isRefused) throw error;
    const values = await exchange(parts, due, reads);
    context.log.error(
      'report.dropped',
      { key: pending.key, bytes: pending.value.length },
      describeError(error),
    );
    return values;
  }
}

async function exchange(
  parts: CheckInParts,
  writes: readonly Pair[],
  reads: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const { clock } = parts.context;
  const startedMs = clock.monotonicMs();
  const { values, isUndefined, dateS } = await parts.data.exchange([...writes], reads);
  parts.polls.sinceS = sinceRead(dateS, clock.monotonicMs() - startedMs);
  if (isUndefined) tellUndefined(parts, reads);
  return values;
}

/** Some platforms answer 404 where an alias is not defined (spec §6.16): nothing to do, but an operator should know. */
function tellUndefined({ context, memory }: CheckInParts, aliases: readonly string[]): void {
  if (memory.hasToldUndefined) return;
  memory.hasToldUndefined = true;
  context.log.warn(
    'checkin.undefined',
    { aliases: aliases.join(',') },
    'the platform answers 404: no command can come; define these as resources of the product (format: string)',
  );
}

/** False if that has been done already and did not help: the failure stands then. */
async function clearTooLong(parts: CheckInParts, error: GweError): Promise<boolean> {
  const { context, data, commands } = parts;
  const state = commands.read();
  if (state.stuckDigest === TOO_LONG) return false;
  const reason = `cannot use engine_fetch or update_interval: ${describeError(error)}; both were cleared`;
  reportEntry(
    context,
    context.newId(),
    { contentId: '' },
    { outcome: 'rejected', code: 'COMMAND_INVALID', reason },
  );
  commands.write({ ...state, stuckDigest: TOO_LONG });
  parts.polls.hasTaken = true;
  await data.writeAliases([
    [FETCH_ALIAS, ''],
    [INTERVAL_ALIAS, ''],
  ]);
  return true;
}

/** With only the reserve of the budget left, no other report than the one that says so. */
function affordable(
  context: AgentContext,
  reports: Readonly<Record<string, Report>>,
): Readonly<Record<string, Report>> {
  const { usage_report: usage } = reports;
  const isTight = context.budget.state()?.isTight === true;
  return isTight && usage !== undefined ? { usage_report: usage } : reports;
}

/** Makes durable what was read, then clears it on the platform. */
async function takeOver(parts: CheckInParts, values: ReadonlyMap<string, string>): Promise<boolean> {
  const intervalText = values.get(INTERVAL_ALIAS) ?? '';
  const isNewInterval = noteInterval(parts, intervalText);
  await noteCommandOrTell(parts, values.get(FETCH_ALIAS) ?? '');
  const clears: Pair[] = [];
  if (isNewInterval) clears.push([INTERVAL_ALIAS, '']);
  if (parts.commands.read().current?.clear === 'pending') clears.push([FETCH_ALIAS, '']);
  if (clears.length > 0) await clearAliases(parts, clears, intervalText);
  return parts.commands.read().current !== undefined;
}

/** True if there is an interval to be cleared: it has been applied, or reported as unusable. */
function noteInterval({ context, commands }: CheckInParts, text: string): boolean {
  const state = commands.read();
  const isStuck = state.stuckInterval === digestText(text);
  if (state.stuckInterval !== undefined && !isStuck) commands.write({ ...state, stuckInterval: undefined });
  if (text === '' || isStuck) return false;
  applyInterval(context, text);
  return true;
}

/** With a full disk a command cannot be taken over. It stays where it is, and the platform is told why, once. */
async function noteCommandOrTell(parts: CheckInParts, text: string): Promise<void> {
  const { context, data } = parts;
  const { toldWithoutDisk } = parts.memory;
  try {
    noteCommand(parts, text);
    toldWithoutDisk.clear();
  } catch (error) {
    if (!(error instanceof GweError) || error.code !== 'STORE_NO_SPACE') throw error;
    if (!toldWithoutDisk.has(digestText(text))) {
      const reason = `${describeError(error)}; the command waits until there is space`;
      const end = { outcome: 'failed-no-change', code: error.code, reason } as const;
      const report = renderEntryReport(context, context.newId(), { contentId: '' }, end);
      await data.writeAliases([[STATUS_ALIAS, report]]);
      toldWithoutDisk.add(digestText(text));
    }
    throw error;
  }
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
    context.outbox.put(context.newId(), STATUS_ALIAS, JSON.stringify(info));
    return;
  }
  if (decoded.seconds === context.settings().updateIntervalS) return;
  saveEngineConfig(context.layout.engineConfig, { updateIntervalS: decoded.seconds });
  context.log.info('config.interval', { seconds: decoded.seconds });
}

/** Writes a command down before anything is done about it. */
function noteCommand({ context, commands, polls }: CheckInParts, text: string): void {
  const state = commands.read();
  const digest = digestText(text);
  if (state.current !== undefined) {
    // Stopped between writing down and clearing: an empty or another text says that the clear went through.
    const isOther = digest !== state.current.digest;
    if (state.current.clear === 'pending' && isOther) {
      commands.write({ ...state, current: { ...state.current, clear: 'shown' } });
    }
    if (text === '' || !isOther) return;
    context.log.info('command.superseded', { command: state.current.id }, 'a newer command takes its place');
    reportGivenUp(context, state.current);
  }
  if (state.stuckDigest !== undefined && state.stuckDigest !== digest && state.current === undefined)
    commands.write({ ...state, stuckDigest: undefined });
  if (text === '' || state.stuckDigest === digest) return;
  const { stuckInterval } = state;
  commands.write({ current: { ...decodeCommand(context, text), digest }, stuckInterval });
  polls.hasTaken = true;
}

/** Entries that nobody has begun with. The one that is under way is reported by its transaction. */
function reportGivenUp(context: AgentContext, command: Command): void {
  const begun = context.journal.read()?.id;
  for (const [index, entry] of command.entries.entries()) {
    const id = entryId(command, index);
    if (index < command.next || id === begun) continue;
    const reason = `cannot carry out '${entry.contentId}': a newer command came before its turn`;
    reportEntry(context, id, entry, { outcome: 'failed-no-change', code: 'CANCELLED', reason });
  }
}

function decodeCommand(context: AgentContext, text: string): Omit<Command, 'digest'> {
  const id = context.newId();
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

/** One hybrid call that empties aliases and reads them back: empty means that a later text is a new command. */
async function clearAliases(
  { context, data, commands }: CheckInParts,
  clears: readonly Pair[],
  intervalText: string,
): Promise<void> {
  const names = clears.map(([alias]) => alias);
  const { values } = await data.exchange([...clears], names);
  if (names.includes(INTERVAL_ALIAS) && values.get(INTERVAL_ALIAS) === intervalText)
    commands.write({ ...commands.read(), stuckInterval: digestText(intervalText) });
  const state = commands.read();
  if (!names.includes(FETCH_ALIAS) || state.current?.clear !== 'pending') return;
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

/** How long the platform asks us to stay away, in ms; 0 if it does not. */
export function retryAfterMs(error: unknown): number {
  const wait = error instanceof GweError ? error.facts.retryAfterMs : undefined;
  return typeof wait === 'number' ? wait : 0;
}

export function logCheckInFailure(context: AgentContext, error: unknown): void {
  const code = error instanceof GweError ? error.code : 'bug';
  context.log.warn('checkin.failed', { code }, describeError(error));
}
