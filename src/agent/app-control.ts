/** What an operator does to one installed app: start, stop, restart, remove. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GweError } from '../base/errors.ts';
import { removeTree } from '../base/fs.ts';
import { appDirectory, programFile, programLog } from '../store/layout.ts';
import { activate, listVersions } from '../store/versions.ts';
import { faultOf } from '../supervisor/client.ts';
import { waitUntilHealthy } from '../supervisor/health.ts';
import { groupProcesses, removeProgram, restartProgram, stopProgram } from '../supervisor/programs.ts';
import { createId } from './command.ts';
import type { AgentContext } from './context.ts';
import { appendHistory } from './history.ts';
import { type LockWait, withTransactionLock } from './work.ts';

/** How long a program must hold RUNNING for a start by hand to count. */
const STARTED_MS = 1000;

/**
 * Starts (or stops and starts) the program and waits until it is up; one that runs already is left alone by `start`.
 * Throws SUPERVISOR_UNHEALTHY with its end if it does not stay up, SUPERVISOR_* and STORE_LOCKED.
 */
export async function startApp(
  context: AgentContext,
  app: string,
  how: 'start' | 'restart',
  wait: LockWait,
): Promise<void> {
  requireProgram(context, app, how);
  await withTransactionLock(
    context,
    () => byHand(context, app, () => startUnderLock(context, app, how, wait.signal)),
    wait,
  );
}

async function startUnderLock(
  context: AgentContext,
  app: string,
  how: 'start' | 'restart',
  signal: AbortSignal,
): Promise<void> {
  const client = context.supervisor();
  const processes = await groupProcesses(client, app);
  if (how === 'start' && processes.length > 0 && processes.every((info) => info.statename === 'RUNNING'))
    return;
  if (processes.length === 0) {
    // The entry is there, but supervisord has not taken it up: it was absent when it was written.
    await client.reloadConfig();
    await client.addProcessGroup(app);
  }
  if (how === 'restart') {
    await restartProgram(client, context.layout.programsDirectory, app);
  } else {
    await client.startProcessGroup(app, false).catch((error: unknown) => {
      if (faultOf(error) !== 'ALREADY_STARTED') throw error;
    });
  }
  await waitUntilHealthy(client, app, {
    settleMs: STARTED_MS,
    deadlineMs: context.settings().startDeadlineS * 1000 + STARTED_MS,
    clock: context.clock,
    signal,
  });
}

/** Stops the program until somebody starts it, or supervisord itself starts again. Throws as `startApp`. */
export async function stopApp(context: AgentContext, app: string, wait: LockWait): Promise<void> {
  requireProgram(context, app, 'stop');
  const { programsDirectory } = context.layout;
  await withTransactionLock(
    context,
    () =>
      byHand(context, app, () =>
        stopProgram(context.supervisor(), programsDirectory, app, { signal: wait.signal }),
      ),
    wait,
  );
}

/** A program that has just been updated is watched for crash loops: what an operator does is none. */
async function byHand(context: AgentContext, app: string, work: () => Promise<void>): Promise<void> {
  context.watcher.excuse(app);
  try {
    await work();
  } finally {
    context.watcher.excuse(app);
  }
}

function requireProgram(context: AgentContext, app: string, verb: string): void {
  if (context.installed.get(app).active?.hasProgram === true) return;
  throw new GweError(
    'USAGE_BAD_VALUE',
    `cannot ${verb} '${app}': it is a one-off without supervisor.conf, so it has no program; ` +
      'to run its install.sh again, install its tarball again',
  );
}

export interface Removal {
  /** What is gone: the program, its entry, each version. */
  removed: string[];
  /** What is still there and why, one sentence each. */
  left: string[];
}

/**
 * Takes an app away: program, program entry, link, versions, record. May be repeated after a crash: the record goes
 * last. An unreachable supervisord does not stop it, for then nothing of the app is run by it.
 */
export async function removeApp(context: AgentContext, app: string, wait: LockWait): Promise<Removal> {
  return withTransactionLock(context, () => removeUnderLock(context, app), wait);
}

async function removeUnderLock(context: AgentContext, app: string): Promise<Removal> {
  const { layout } = context;
  const open = context.journal.read();
  if (open !== undefined && !open.closed && open.app === app && open.state !== 'downloading') {
    throw new GweError(
      'STORE_LOCKED',
      `cannot remove '${app}': an update of it was cut short; start gwe, which finishes or undoes it, and try again`,
    );
  }
  const record = context.installed.get(app);
  const versions = listVersions(layout, app);
  const entry = programFile(layout, app);
  const hadEntry = existsSync(entry);
  context.watcher.end(app);
  const isStopped = await removeProgram(context.supervisor(), layout.programsDirectory, app).then(
    () => true,
    (error: unknown) => {
      if (error instanceof GweError && error.code === 'SUPERVISOR_UNREACHABLE') return false;
      throw error;
    },
  );
  activate(layout, app, undefined);
  removeTree(appDirectory(layout, app));
  context.installed.set(app, undefined);
  noteRemoval(context, app, record.active?.version ?? '');
  const isEntryGone = hadEntry && !existsSync(entry);
  return {
    removed: [
      ...(isEntryGone ? [isStopped ? `program ${app} (stopped)` : `program ${app}`, entry] : []),
      ...versions.map((name) => join(appDirectory(layout, app), name)),
    ],
    left: [
      ...(isStopped
        ? []
        : ['supervisord was not there to stop the program: see that no process of it is left']),
      ...(hadEntry && !isEntryGone ? [`${entry}, which gwe did not write`] : []),
      ...(existsSync(programLog(layout, app)) ? [`its log ${programLog(layout, app)}`] : []),
      'whatever its install.sh put elsewhere: gwe does not know of it and undid nothing of it',
    ],
  };
}

function noteRemoval(context: AgentContext, app: string, version: string): void {
  const nowMs = context.clock.wallMs();
  appendHistory(join(context.layout.stateDirectory, 'history.json'), {
    tx: createId(nowMs),
    app,
    version,
    outcome: 'removed',
    startedAtMs: nowMs,
    endedAtMs: nowMs,
    bytesFetched: 0,
  });
}
