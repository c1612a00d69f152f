/** Works off the entries of the command that has been taken over, one transaction each. */
import { join } from 'node:path';
import { parseArtifactName } from '../artifact/name.ts';
import { describeError, GweError } from '../base/errors.ts';
import { acquireLock, type LockOwner } from '../base/lock.ts';
import { type NewTransaction, type RunnerDependencies, runTransaction } from '../update/runner.ts';
import { type Command, type CommandEntry, type CommandStore, entryId, finishCommand } from './command.ts';
import type { AgentContext } from './context.ts';
import { reportEntry } from './entry-report.ts';
import { readHistory } from './history.ts';
import { sendLog } from './log-pieces.ts';

/** Each entry is carried out once, in order, whatever became of the ones before it. Throws CANCELLED on stop. */
export async function workOff(
  context: AgentContext,
  commands: CommandStore,
  runner: RunnerDependencies,
): Promise<void> {
  for (let command = commands.read().current; command !== undefined; command = commands.read().current) {
    const entry = command.entries[command.next];
    if (entry === undefined) {
      finishCommand(commands, command);
      return;
    }
    await workOffEntry(context, command, entry, runner);
    commands.write({ ...commands.read(), current: { ...command, next: command.next + 1 } });
  }
}

async function workOffEntry(
  context: AgentContext,
  command: Command,
  entry: CommandEntry,
  runner: RunnerDependencies,
): Promise<void> {
  const id = entryId(command, command.next);
  if (hasEnded(context, id)) return;
  const problem = entry.problem ?? (entry.log === undefined ? nameProblem(entry.contentId) : undefined);
  if (problem !== undefined) {
    reportEntry(context, id, entry, { outcome: 'rejected', code: 'COMMAND_INVALID', reason: problem });
    return;
  }
  if (entry.log !== undefined) {
    sendLog(context, id, entry);
    return;
  }
  const { name, version } = parseArtifactName(entry.contentId);
  const wanted: NewTransaction = {
    id,
    app: name,
    version,
    contentId: entry.contentId,
    source: { kind: 'content' },
    commandDigest: command.digest,
    ...(entry.sha256 === undefined ? {} : { expectedSha256: entry.sha256 }),
    ...(entry.urgent === true ? { urgent: true } : {}),
  };
  const wait = behindCommandLine(context, runner.signal);
  await withTransactionLock(context, () => runTransaction(wanted, runner), wait);
}

/** gwe was killed between an entry's end and the note of it; a command line may have used the journal since. */
function hasEnded(context: AgentContext, id: string): boolean {
  const last = context.journal.read();
  if (last?.id === id && last.closed) return true;
  return readHistory(join(context.layout.stateDirectory, 'history.json')).some((entry) => entry.tx === id);
}

function nameProblem(contentId: string): string | undefined {
  try {
    parseArtifactName(contentId);
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}

export interface LockWait {
  /** How long to wait for whoever is in the middle of an update. */
  waitMs: number;
  /** Called once, before the wait begins. */
  onWait(owner: LockOwner): void;
  signal: AbortSignal;
}

const LOCK_POLL_MS = 200;
/** As long as the longest install.sh by default: a command line that takes longer is looked at again after a check-in. */
const BEHIND_COMMAND_LINE_MS = 3600 * 1000;

/** How the agent waits for an update that a person runs on the gateway: patiently, and not as a failed check-in. */
export function behindCommandLine(context: AgentContext, signal: AbortSignal): LockWait {
  const onWait = ({ pid, purpose }: LockOwner): void =>
    context.log.info('update.waiting', { pid, purpose }, 'another process is in the middle of an update');
  return { waitMs: BEHIND_COMMAND_LINE_MS, onWait, signal };
}

/**
 * One transaction at a time on a root, the agent's or a command line's. Throws STORE_LOCKED, naming the owner, when
 * the lock is not free at once or, with `wait`, in time.
 */
export async function withTransactionLock<T>(
  context: AgentContext,
  work: () => Promise<T>,
  wait?: LockWait,
): Promise<T> {
  const endMs = context.clock.monotonicMs() + (wait?.waitMs ?? 0);
  let hasSaid = false;
  for (;;) {
    const lock = acquireLock(context.layout.transactionLock, 'transaction');
    if ('release' in lock) {
      try {
        return await work();
      } finally {
        lock.release();
      }
    }
    if (wait === undefined || wait.signal.aborted || context.clock.monotonicMs() >= endMs)
      throw busy(lock.heldBy);
    if (!hasSaid) wait.onWait(lock.heldBy);
    hasSaid = true;
    await context.clock.sleep(LOCK_POLL_MS, wait.signal);
  }
}

function busy(owner: LockOwner): GweError {
  return new GweError(
    'STORE_LOCKED',
    `cannot start an update: process ${owner.pid} is in the middle of one; try again when it is done`,
  );
}
