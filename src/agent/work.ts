/** Works off the entries of the command that has been taken over, one transaction each. */
import { matchArtifactName, parseArtifactName } from '../artifact/name.ts';
import { describeError, GweError } from '../base/errors.ts';
import { acquireLock, type LockOwner } from '../base/lock.ts';
import { renderFetchStatus } from '../protocol/messages.ts';
import { type RunnerDependencies, runTransaction } from '../update/runner.ts';
import { finishCommand } from './check-in.ts';
import type { Command, CommandEntry, CommandStore } from './command.ts';
import type { AgentContext } from './context.ts';

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
  const id = `${command.id}-${String(command.next).padStart(2, '0')}`;
  const done = runner.journal.read();
  if (done?.id === id && done.closed) return;
  const problem = entry.problem ?? nameProblem(entry.contentId);
  if (problem !== undefined) {
    reject(context, id, entry, problem);
    return;
  }
  const { name, version } = parseArtifactName(entry.contentId);
  await withTransactionLock(context, () =>
    runTransaction(
      {
        id,
        app: name,
        version,
        contentId: entry.contentId,
        source: { kind: 'content' },
        commandDigest: command.digest,
        ...(entry.sha256 === undefined ? {} : { expectedSha256: entry.sha256 }),
      },
      runner,
    ),
  );
}

function nameProblem(contentId: string): string | undefined {
  try {
    parseArtifactName(contentId);
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}

function reject(context: AgentContext, id: string, entry: CommandEntry, problem: string): void {
  context.log.warn('command.rejected', { tx: id, name: entry.contentId.slice(0, 160) }, problem);
  const parsed = matchArtifactName(entry.contentId);
  const status = {
    name: parsed?.name ?? entry.contentId.slice(0, 160),
    version: parsed?.version ?? '',
    status: 'failure',
    exitcode: -1,
    test: problem,
    info: '',
    outcome: 'rejected',
    tx: id,
    code: 'COMMAND_INVALID',
    reason: problem,
  };
  const format = context.settings().fetchStatusFormat === 'text' ? 'text' : 'json';
  context.outbox.put(id, 'fetch_status', renderFetchStatus(status, format));
}

export interface LockWait {
  /** How long to wait for whoever is in the middle of an update. */
  waitMs: number;
  /** Called once, before the wait begins. */
  onWait(owner: LockOwner): void;
  signal: AbortSignal;
}

const LOCK_POLL_MS = 200;

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
