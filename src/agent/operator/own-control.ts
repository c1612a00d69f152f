/** What an operator does to gwe itself as a program of supervisord or systemd: start, stop, restart. */
import { RESERVED_APP_NAME } from '../../artifact/name.ts';
import { GweError } from '../../base/errors.ts';
import { hasOwnUnit } from '../../service/managers.ts';
import { faultOf } from '../../supervisor/client.ts';
import { groupProcesses } from '../../supervisor/programs.ts';
import type { AgentContext } from '../run/context.ts';
import { runningAgent, stopAgent } from '../run/running-agent.ts';
import { type LockWait, withTransactionLock } from '../run/transaction-lock.ts';

type Context = Pick<AgentContext, 'layout' | 'clock' | 'supervisor'>;
type Verb = 'start' | 'stop' | 'restart';

const APP = RESERVED_APP_NAME;
/** The launcher tries the executable first, which takes its time on a slow machine. */
const CHANGE_MS = 90_000;
const POLL_MS = 100;

/**
 * `restart` ends the gwe that runs and waits until supervisord or systemd has started another; `start` leaves it alone.
 * Throws SUPERVISOR_REFUSED where nobody would start it or it does not happen in time, SUPERVISOR_UNREACHABLE, and
 * STORE_LOCKED in the middle of an update.
 */
export async function controlSelf(context: Context, verb: Verb, wait: LockWait): Promise<void> {
  const before = runningAgent(context.layout);
  if (verb === 'start' && before !== undefined) return;
  if (verb === 'restart' && before !== undefined) {
    await requireManager(context, before);
    await withTransactionLock(context, async () => stopAgent(context.layout), wait);
  } else {
    await withTransactionLock(context, () => askSupervisord(context, verb), wait);
  }
  const isDone = (pid: number | undefined): boolean =>
    verb === 'stop' ? pid === undefined : pid !== undefined && pid !== before;
  await waitForAgent(context, verb, isDone, wait.signal);
}

/** Who ends a gwe that was started by hand ends it for good. */
async function requireManager(context: Context, pid: number): Promise<void> {
  if (hasOwnUnit(context.layout) || (await isProgram(context))) return;
  throw new GweError(
    'SUPERVISOR_REFUSED',
    `cannot restart gwe: process ${pid} was started by hand, so nothing would start it again; ` +
      "'gwe service install' has supervisord run it",
  );
}

async function isProgram(context: Context): Promise<boolean> {
  return (await groupProcesses(context.supervisor(), APP)).length > 0;
}

async function askSupervisord(context: Context, verb: Verb): Promise<void> {
  if (hasOwnUnit(context.layout)) {
    throw new GweError(
      'SUPERVISOR_REFUSED',
      `cannot ${verb} gwe: systemd runs it; 'systemctl ${verb} gwe' does it`,
    );
  }
  if (!(await isProgram(context))) {
    throw new GweError(
      'SUPERVISOR_REFUSED',
      `cannot ${verb} gwe: supervisord has no program 'gwe'; 'gwe service install' makes it one`,
    );
  }
  const client = context.supervisor();
  const asked = verb === 'stop' ? client.stopProcessGroup(APP, false) : client.startProcessGroup(APP, false);
  await asked.catch((error: unknown) => {
    if (faultOf(error) !== 'ALREADY_STARTED' && faultOf(error) !== 'NOT_RUNNING') throw error;
  });
}

async function waitForAgent(
  { layout, clock }: Context,
  verb: Verb,
  isDone: (pid: number | undefined) => boolean,
  signal: AbortSignal,
): Promise<void> {
  const endMs = clock.monotonicMs() + CHANGE_MS;
  while (!isDone(runningAgent(layout))) {
    if (clock.monotonicMs() > endMs) {
      throw new GweError(
        'SUPERVISOR_REFUSED',
        `cannot ${verb} gwe: it has not come about within ${CHANGE_MS / 1000} s; see 'gwe logs gwe' and 'gwe doctor'`,
      );
    }
    await clock.sleep(POLL_MS, signal);
  }
}
