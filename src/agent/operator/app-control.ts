/** What an operator can do with the program of one installed app: start, stop, restart. */
import { GweError } from '../../base/errors.ts';
import { programFile } from '../../store/layout.ts';
import { faultOf } from '../../supervisor/client.ts';
import { waitUntilHealthy } from '../../supervisor/health.ts';
import { startDeadlineS } from '../../supervisor/program-times.ts';
import { groupProcesses, readOwn, restartProgram, stopProgram } from '../../supervisor/programs.ts';
import type { AgentContext } from '../run/context.ts';
import { restoreAppData } from '../run/restore-data.ts';
import { type LockWait, withTransactionLock } from '../run/transaction-lock.ts';

/** How long a program must stay RUNNING for a start by hand to count. */
const STARTED_MS = 1000;

/**
 * Starts (or stops and starts) the program and waits until it is up; one that runs already is left alone by `start`.
 * Throws SUPERVISOR_UNHEALTHY with its end if it does not stay up, SUPERVISOR_* and STORE_LOCKED.
 */
export async function startApp(
  context: Pick<
    AgentContext,
    'layout' | 'clock' | 'settings' | 'installed' | 'supervisor' | 'watcher' | 'log'
  >,
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
  context: Pick<AgentContext, 'layout' | 'clock' | 'settings' | 'supervisor' | 'log'>,
  app: string,
  how: 'start' | 'restart',
  signal: AbortSignal,
): Promise<void> {
  const client = context.supervisor();
  restoreAppData(context, app);
  const processes = await groupProcesses(client, app);
  if (how === 'start' && processes.length > 0 && processes.every((info) => info.statename === 'RUNNING'))
    return;
  if (processes.length === 0) {
    // The entry is there, but supervisord has not taken it up: it was absent when it was written.
    await client.reloadConfig();
    await client.addProcessGroup(app);
  }
  if (how === 'restart') {
    await restartProgram(client, context.layout, app, {
      longestStopMs: context.settings().installTimeoutS * 1000,
    });
  } else {
    await client.startProcessGroup(app, false).catch((error: unknown) => {
      if (faultOf(error) !== 'ALREADY_STARTED') throw error;
    });
  }
  const programText = readOwn(programFile(context.layout, app), app) ?? '';
  await waitUntilHealthy(client, app, {
    settleMs: STARTED_MS,
    deadlineMs: startDeadlineS(programText, context.settings().startDeadlineS) * 1000 + STARTED_MS,
    programText,
    clock: context.clock,
    signal,
  });
}

/** Stops the program until somebody starts it, or supervisord itself starts again. Throws as `startApp`. */
export async function stopApp(
  context: Pick<AgentContext, 'layout' | 'clock' | 'installed' | 'settings' | 'supervisor' | 'watcher'>,
  app: string,
  wait: LockWait,
): Promise<void> {
  requireProgram(context, app, 'stop');
  await withTransactionLock(
    context,
    () =>
      byHand(context, app, () =>
        stopProgram(context.supervisor(), context.layout, app, {
          signal: wait.signal,
          longestStopMs: context.settings().installTimeoutS * 1000,
        }),
      ),
    wait,
  );
}

/**
 * A program that has just been updated is watched for crash loops: a stop or restart by an operator must not count as
 * one.
 */
async function byHand(
  context: Pick<AgentContext, 'watcher'>,
  app: string,
  work: () => Promise<void>,
): Promise<void> {
  context.watcher.excuse(app);
  try {
    await work();
  } finally {
    context.watcher.excuse(app);
  }
}

function requireProgram(context: Pick<AgentContext, 'installed'>, app: string, verb: string): void {
  if (context.installed.get(app).active?.hasProgram === true) return;
  throw new GweError(
    'USAGE_BAD_VALUE',
    `cannot ${verb} '${app}': it is a one-off without supervisor.conf, so it has no program; ` +
      'to run its install.sh again, install its tarball again',
  );
}
