/** What gwe may end, and how: what it cannot prove to be its own is left alone, whatever its environment says. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Clock } from './clock.ts';
import { systemCode } from './errors.ts';
import { bootId, isLiving, livingProcesses, type ProcessStat, readProcessStat } from './process.ts';

/** A session that gwe made: the pid of its leader, which is the session's id, and when it was started. */
export interface OwnSession {
  pid: number;
  startTicks: string;
  bootId: string;
}

interface EndOptions {
  /** An entry of the environment that its processes began with; needed where nobody saw the leader end. */
  mark: string;
  /** gwe has seen the leader of this session alive until just now. */
  isSeen: boolean;
  /** Processes without which the gateway would be lost, besides pid 1, this one and those above it. */
  guarded: readonly number[];
  graceMs: number;
  clock: Clock;
}

const LOOK_AGAIN_MS = 20;
/** A process that hangs in the kernel does not end for SIGKILL either. */
const GIVE_UP_MS = 10_000;
const MOST_NAMED = 8;

/**
 * Ends the processes of `session`, whole groups at a time: SIGTERM, a grace period, SIGKILL, until none is left.
 * Where a guarded one is among them (install.sh has started supervisord), only the script itself and what it started,
 * one by one.
 */
export async function endSession(session: OwnSession, options: EndOptions): Promise<void> {
  const { clock, graceMs } = options;
  const find = createFinder(session, options);
  const startedMs = clock.monotonicMs();
  let isTold = false;
  for (let found = find(); found.targets.length > 0; found = find()) {
    const spentMs = clock.monotonicMs() - startedMs;
    if (spentMs > graceMs + GIVE_UP_MS) return;
    if (spentMs >= graceMs) found.send('SIGKILL');
    else if (!isTold) found.send('SIGTERM');
    isTold = true;
    await clock.sleep(LOOK_AGAIN_MS);
  }
}

interface Found {
  targets: readonly ProcessStat[];
  send(signal: NodeJS.Signals): void;
}

function createFinder(session: OwnSession, options: EndOptions): () => Found {
  let isProven = options.isSeen;
  /** Found below the leader before it ended. */
  const known = new Map<number, string>();
  return () => {
    const leader = readProcessStat(session.pid);
    const isAnothers = leader !== undefined && leader.startTicks !== session.startTicks;
    if (session.bootId !== bootId() || isAnothers) return { targets: [], send: () => undefined };
    isProven ||= leader !== undefined;
    const all = livingProcesses();
    const isGuarded = createGuard(all, options.guarded);
    const members = all.filter((one) => one.session === session.pid);
    const hasGuarded = members.some(({ pid }) => isGuarded(pid));
    if (isProven && !hasGuarded) return { targets: members, send: (signal) => sendToGroups(members, signal) };
    const marked = isProven ? [] : members.filter(({ pid }) => hasMark(pid, options.mark));
    for (const { pid, startTicks } of [...marked, ...below(session.pid, all, isGuarded)])
      known.set(pid, startTicks);
    const targets = all.filter(({ pid, startTicks }) => known.get(pid) === startTicks && !isGuarded(pid));
    return { targets, send: (signal) => sendToEach(targets, signal) };
  };
}

/** A process group belongs to one session as a whole. */
function sendToGroups(members: readonly ProcessStat[], signal: NodeJS.Signals): void {
  for (const group of new Set(members.map(({ pgid }) => pgid))) send(-group, signal);
}

function sendToEach(targets: readonly ProcessStat[], signal: NodeJS.Signals): void {
  for (const { pid, startTicks } of targets)
    if (readProcessStat(pid)?.startTicks === startTicks) send(pid, signal);
}

function send(target: number, signal: NodeJS.Signals): void {
  try {
    process.kill(target, signal);
  } catch (error) {
    if (systemCode(error) !== 'ESRCH') throw error;
  }
}

/**
 * Sends one signal to the session of a helper that gwe started and that only waits to be ended, if it is still that
 * session.
 */
export function signalOwnGroup(session: OwnSession, signal: NodeJS.Signals): void {
  const stat = readProcessStat(session.pid);
  const isSame = session.bootId === bootId() && stat?.startTicks === session.startTicks;
  if (isSame && stat.pgid === session.pid && isLiving(stat)) send(-session.pid, signal);
}

/** Whether the process that `identity` names still runs. */
export function isRunning({ pid, startTicks, bootId: boot }: OwnSession): boolean {
  const stat = readProcessStat(pid);
  return boot === bootId() && stat !== undefined && isLiving(stat) && stat.startTicks === startTicks;
}

/** The process `pid` and everything below it, except what is guarded and everything below that. */
function below(pid: number, all: readonly ProcessStat[], isGuarded: (pid: number) => boolean): ProcessStat[] {
  const found = all.filter((one) => one.pid === pid && !isGuarded(pid));
  for (const { pid: parent } of found)
    found.push(...all.filter((one) => one.ppid === parent && !isGuarded(one.pid)));
  return found;
}

/** pid 1, this process and all above it, whatever is called supervisord, and `more`. */
function createGuard(all: readonly ProcessStat[], more: readonly number[]): (pid: number) => boolean {
  const parents = new Map(all.map(({ pid, ppid }) => [pid, ppid]));
  const guarded = new Set([1, ...more]);
  for (let at = process.pid; at > 1; at = parents.get(at) ?? 0) guarded.add(at);
  return (pid) => guarded.has(pid) || isSupervisord(pid);
}

/** By its name: a process that only pretends to be it is spared, nothing worse. */
function isSupervisord(pid: number): boolean {
  const words = readProc(pid, 'cmdline').split('\0').slice(0, 4);
  return words.some((word) => ['supervisord', 'supervisor.supervisord'].includes(basename(word)));
}

function hasMark(pid: number, mark: string): boolean {
  return readProc(pid, 'environ').split('\0').includes(mark);
}

/** Empty for a process that is gone, or another user's. */
function readProc(pid: number, name: 'cmdline' | 'environ' | 'comm'): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1');
  } catch {
    return '';
  }
}

/**
 * What a script that has ended has left running, as words for a report: the members of its session, and whoever carries
 * its mark and is younger. supervisord and its programs are not the script's, also where it has restarted them.
 */
export function describeLeft(session: OwnSession, options: Pick<EndOptions, 'mark' | 'guarded'>): string[] {
  const all = livingProcesses();
  const byPid = new Map(all.map((one) => [one.pid, one]));
  const others = new Set([process.pid, ...options.guarded]);
  const isOthers = ({ pid, ppid }: ProcessStat): boolean => {
    if (pid === 1) return false;
    const parent = byPid.get(ppid);
    return others.has(pid) || isSupervisord(pid) || (parent !== undefined && isOthers(parent));
  };
  const isLeft = (one: ProcessStat): boolean =>
    one.session === session.pid ||
    (Number(one.startTicks) >= Number(session.startTicks) && hasMark(one.pid, options.mark));
  const left = all.filter((one) => isLeft(one) && !isOthers(one));
  const named = left.slice(0, MOST_NAMED).map(({ pid }) => `${nameOf(pid)} (pid ${pid})`);
  return left.length > MOST_NAMED ? [...named, `and ${left.length - MOST_NAMED} more`] : named;
}

function nameOf(pid: number): string {
  const name = readProc(pid, 'comm').trim();
  return name === '' ? 'a process' : name.replace(/[^\x20-\x7e]/g, '?');
}
