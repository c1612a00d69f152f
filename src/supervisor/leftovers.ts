/** What a program of supervisord leaves running when it ends: gwe ends that before it starts anything in its place. */
import { readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import type { Clock } from '../base/clock.ts';
import { systemCode } from '../base/errors.ts';
import { type ProcessStat, readProcessStat } from '../base/process.ts';
import type { ProcessInfo } from './client.ts';

/** A process that supervisord has started: it leads a group of its own. */
export interface Leader {
  pid: number;
  startTicks: string;
}

const GRACE_MS = 2000;
/** A process that hangs in the kernel does not end for SIGKILL either. */
const GIVE_UP_MS = 10_000;
const POLL_MS = 50;

/** The leaders among `processes`, as they are now: a pid alone may be another's by the time that it is used. */
export function leadersOf(processes: readonly ProcessInfo[]): Leader[] {
  return processes.flatMap(({ pid }) => {
    const stat = pid > 0 ? readProcessStat(pid) : undefined;
    return stat !== undefined && stat.pgid === pid ? [{ pid, startTicks: stat.startTicks }] : [];
  });
}

/** Ends what is left in the groups of `leaders`, which have ended themselves. Returns how many processes that were. */
export function endGroupsOf(leaders: readonly Leader[], clock: Clock): Promise<number> {
  return endAll(() => leaders.flatMap(leftOf), clock);
}

/** A group lives as long as one of its members, and its number is not given out again before. */
function leftOf({ pid, startTicks }: Leader): ProcessStat[] {
  const leader = readProcessStat(pid);
  if (leader !== undefined && leader.startTicks !== startTicks) return [];
  const members = livingProcesses().filter((one) => one.pgid === pid && isNotOlder(one, startTicks));
  return members.some(({ pid: member }) => isOurs(member)) ? [] : members;
}

/**
 * Ends what the program of `app` has put into the background, out of its group: what supervisord has started for this
 * app by its own mark, as the user of its entry. Who forges the mark ends only himself.
 */
export function endMarked(marked: Marked, clock: Clock): Promise<number> {
  return endAll(() => findMarked(marked), clock);
}

/** Processes with supervisord's mark of `app`, of the user `owner`, except those that supervisord itself manages. */
export function findMarked({ app, owner, address }: Marked): ProcessStat[] {
  if (owner === undefined) return [];
  const living = livingProcesses();
  const managed = new Set(living.filter(isManaged).map(({ pid }) => pid));
  return living.filter(
    ({ pid, pgid }) =>
      !managed.has(pgid) &&
      !isOurs(pid) &&
      ownerOf(pid) === owner &&
      isOfThisContainer(pid) &&
      groupNameOf(pid, address) === app,
  );
}

/** Processes of one app by the mark of the supervisord that is asked at `address`. */
interface Marked {
  app: string;
  owner: number | undefined;
  address: string;
}

async function endAll(find: () => ProcessStat[], clock: Clock): Promise<number> {
  const before = find();
  const startedMs = clock.monotonicMs();
  send(before, 'SIGTERM');
  for (let left = before; left.length > 0; left = find()) {
    const spentMs = clock.monotonicMs() - startedMs;
    if (spentMs > GRACE_MS + GIVE_UP_MS) break;
    if (spentMs > GRACE_MS) send(left, 'SIGKILL');
    await clock.sleep(POLL_MS);
  }
  return before.length;
}

function send(processes: readonly ProcessStat[], signal: NodeJS.Signals): void {
  for (const { pid, startTicks } of processes) {
    if (readProcessStat(pid)?.startTicks !== startTicks) continue;
    try {
      process.kill(pid, signal);
    } catch (error) {
      if (systemCode(error) !== 'ESRCH') throw error;
    }
  }
}

function isNotOlder(one: ProcessStat, startTicks: string): boolean {
  return Number(one.startTicks) >= Number(startTicks);
}

/** Without these the gateway would be lost: the first process, gwe, and supervisord above it. */
function isOurs(pid: number): boolean {
  return pid === 1 || pid === process.pid || pid === process.ppid || isSupervisord(pid);
}

/** What supervisord has started and not seen end: it leads a group, which is supervisord's to end. */
function isManaged({ pid, ppid, pgid }: ProcessStat): boolean {
  return pid === pgid && isSupervisord(ppid);
}

function isSupervisord(pid: number): boolean {
  return /(?:^|[/\0])supervisord(?:\0|$)/.test(readProc(pid, 'cmdline'));
}

/**
 * Seen from the machine, a program in a container may have the same mark, from the supervisord there: it is left alone.
 * A process whose namespace cannot be read counts as one of a container.
 */
function isOfThisContainer(pid: number): boolean {
  return pidNamespaceOf(pid) === pidNamespaceOf('self');
}

/** `undefined` also where the kernel has no such namespaces. */
function pidNamespaceOf(pid: number | 'self'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined;
  }
}

/** Whom a process was started for by supervisord: what it says to its own children, and they pass on to theirs. */
function groupNameOf(pid: number, address: string): string | undefined {
  const environment = readProc(pid, 'environ').split('\0');
  if (!environment.includes('SUPERVISOR_ENABLED=1')) return undefined;
  const url = environment.find((pair) => pair.startsWith('SUPERVISOR_SERVER_URL='))?.slice(22) ?? '';
  if (isOfAnother(url, address)) return undefined;
  return environment.find((pair) => pair.startsWith('SUPERVISOR_GROUP_NAME='))?.slice(22);
}

/** Whether a mark names the socket of another supervisord of this machine than the one at `address`. */
function isOfAnother(url: string, address: string): boolean {
  if (!url.startsWith('unix://') || !address.startsWith('/')) return false;
  return resolved(url.slice('unix://'.length)) !== resolved(address);
}

function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function livingProcesses(): ProcessStat[] {
  return readdirSync('/proc').flatMap((name) => {
    const stat = /^\d+$/.test(name) ? readProcessStat(Number(name)) : undefined;
    return stat === undefined || stat.state === 'Z' || stat.state === 'X' ? [] : [stat];
  });
}

function ownerOf(pid: number): number | undefined {
  return statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid;
}

/** Empty for a process that is gone, or another user's. */
function readProc(pid: number, name: 'cmdline' | 'environ'): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1');
  } catch {
    return '';
  }
}
