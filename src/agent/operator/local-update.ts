/** Updates that an operator starts on the gateway itself, with the agent's engine, journal and reports. */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArtifactName, RESERVED_APP_NAME } from '../../artifact/name.ts';
import { describeError, GweError } from '../../base/errors.ts';
import { digestText } from '../../store/command.ts';
import { versionDirectory } from '../../store/layout.ts';
import type { Transaction } from '../../update/journal.ts';
import {
  type NewTransaction,
  type RunnerDependencies,
  resumeTransaction,
  runTransaction,
} from '../../update/runner.ts';
import { composeRunner } from '../effects/compose-runner.ts';
import type { AgentContext } from '../run/context.ts';
import { stopAgent } from '../run/running-agent.ts';
import { type LockWait, withTransactionLock } from '../run/transaction-lock.ts';

/**
 * Installs the tarball at the absolute `path` and returns the finished transaction, whatever its outcome; one of gwe
 * itself is put in place, and the agent restarted into it. When the signal of `wait` aborts, the transaction is
 * ended: what it has touched is taken back. Throws ARTIFACT_NAME or STORE_IO for a file that is not a tarball,
 * STORE_LOCKED when another update does not end in time.
 */
export async function installTarball(
  context: AgentContext,
  path: string,
  wait: LockWait,
): Promise<Transaction> {
  if (!existsSync(path)) throw new GweError('STORE_IO', `cannot install '${path}': there is no such file`);
  const contentId = basename(path);
  const { name, version } = parseArtifactName(contentId);
  return runLocal(context, { app: name, version, contentId, source: { kind: 'file', path } }, wait);
}

/**
 * Goes back to the version before the active one; the active one becomes the one before. Throws STORE_IO when there
 * is none, and as `installTarball`.
 */
export async function rollBackApp(context: AgentContext, app: string, wait: LockWait): Promise<Transaction> {
  const { previous } = context.installed.get(app);
  const directory = previous === undefined ? undefined : versionDirectory(context.layout, app, previous);
  if (previous === undefined || directory === undefined || !existsSync(directory)) {
    throw new GweError(
      'STORE_IO',
      `cannot roll back '${app}': this gateway has no earlier version of it, expected one to go back to`,
    );
  }
  const { version, contentId } = previous;
  return runLocal(context, { app, version, contentId, source: { kind: 'previous' } }, wait);
}

async function runLocal(
  context: AgentContext,
  what: Pick<NewTransaction, 'app' | 'version' | 'contentId' | 'source'>,
  wait: LockWait,
): Promise<Transaction> {
  const restarting = new AbortController();
  const restart = (): void => {
    restarting.abort();
    stopAgent(context.layout);
  };
  const own = { ...context, restart };
  const stopped = AbortSignal.any([wait.signal, restarting.signal]);
  const runner = composeRunner(own, undefined, restarting.signal, wait.signal);
  return withTransactionLock(
    context,
    async () => {
      // That one is not of this command line: the agent goes on with it.
      await finishOpen(context, composeRunner(own, undefined, stopped));
      const id = context.newId();
      // Typing the command again is deliberate: no refusal of the same bytes outlives the command line.
      return runTransaction({ id, commandDigest: digestText(id), ...what }, runner).catch(
        (error: unknown) => {
          const left = restarting.signal.aborted ? context.journal.read() : undefined;
          if (left === undefined) throw error;
          // What is left belongs to the next gwe; for the one who typed the command it is done.
          return {
            ...left,
            state: 'committed',
            notes: [...left.notes, 'gwe restarts into it; its first check-in confirms it'],
          };
        },
      );
    },
    wait,
  );
}

/**
 * There is one journal: what a power cut left in the middle is finished or undone first. A download of the agent is
 * left out: its command is still written down, so it begins again from the bytes that are there.
 */
async function finishOpen(
  context: Pick<AgentContext, 'log' | 'journal'>,
  runner: RunnerDependencies,
): Promise<void> {
  try {
    const open = context.journal.read();
    if (open === undefined || open.closed) return;
    if (open.app === RESERVED_APP_NAME && open.state === 'probing') {
      throw new GweError(
        'STORE_LOCKED',
        'cannot start an update: an update of gwe itself is waiting for its first check-in',
      );
    }
    if (open.source.kind === 'content' && (open.state === 'planned' || open.state === 'downloading')) return;
    await resumeTransaction(runner);
  } catch (error) {
    if (!(error instanceof GweError) || error.code !== 'JOURNAL_UNREADABLE') throw error;
    context.log.error('journal.set-aside', { kept: context.journal.setAside() }, describeError(error));
  }
}
