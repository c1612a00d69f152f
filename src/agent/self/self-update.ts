/**
 * gwe updates itself by the same table as any app, with other work behind the states (src/agent/README.md, "The path
 * of an update"): the new executable shows that it can do the job before `current` moves (canary), the launcher counts
 * its starts, and the update is judged by the next process, at its first check-in.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { childEnvironment } from '../../base/child-environment.ts';
import { GweError } from '../../base/errors.ts';
import { readLink, swapLink } from '../../base/fs.ts';
import { type RunResult, runProcess } from '../../base/process.ts';
import { keepAsPrevious } from '../../service/previous.ts';
import { forgetStarts, MOST_UNCONFIRMED_STARTS, readStarts } from '../../service/starts.ts';
import { currentLink, previousLink, versionDirectory, versionDirectoryName } from '../../store/layout.ts';
import type { CheckedTransaction } from '../../update/journal.ts';
import type { EffectContext, EffectResult, UpdateEffects } from '../../update/ports.ts';
import { checkOwnWayBack } from '../admission/own-way-back.ts';
import type { AgentContext } from '../run/context.ts';
import { isRunning } from './awaits-check-in.ts';

const APP = 'gwe';
/** What `gwe --canary` prints, alone. */
export const CANARY_ANSWER = 'ok';
/** What `gwe --canary` exits with when the platform gives no answer (EX_TEMPFAIL of sysexits.h). */
export const CANARY_OFFLINE_STATUS = 75;
const CANARY_MS = 120_000;
const CANARY_TRIES = 3;
const CANARY_PAUSE_MS = 10_000;

type SelfEffects = Pick<UpdateEffects, 'promoted' | 'activating' | 'probing' | 'rolling-back'>;

/** The states whose work differs from an app's. */
export function createSelfEffects(
  context: Pick<AgentContext, 'layout' | 'clock' | 'env' | 'restart' | 'log' | 'settings' | 'installed'>,
): SelfEffects {
  return {
    promoted: (effect) => runCanary(context, effect),
    activating: (effect) => switchOver(context, effect.transaction),
    probing: (effect) => judgeStart(context, effect.transaction),
    'rolling-back': (effect) => switchBack(context, effect.transaction),
  };
}

/**
 * Throws ARTIFACT_REFUSED where a new gwe could not be put in place: without the launcher nothing would bring the old
 * one back.
 */
export function requireLauncher(context: Pick<AgentContext, 'layout'>): void {
  if (readLink(currentLink(context.layout, APP)) !== undefined) return;
  throw new GweError(
    'ARTIFACT_REFUSED',
    "cannot update gwe: it is not installed as a service, so nothing could restore the old one; run 'gwe service install'",
  );
}

/** The new executable takes no lock and changes nothing: it loads, reads the configuration and asks the platform. */
async function runCanary(
  context: Pick<AgentContext, 'layout' | 'clock' | 'env'>,
  { transaction, signal }: EffectContext<CheckedTransaction>,
): Promise<EffectResult> {
  const executable = join(versionDirectory(context.layout, APP, transaction), APP);
  if (!existsSync(executable)) {
    throw new GweError('ARTIFACT_LAYOUT', `cannot update gwe: the tarball has no file '${APP}' at its root`);
  }
  const run = (): Promise<RunResult> =>
    runProcess([executable, '--canary'], {
      cwd: '/',
      env: { ...childEnvironment(context.env, {}), GWE_ROOT: context.layout.root },
      timeoutMs: CANARY_MS,
      captureBytes: 4096,
      clock: context.clock,
      signal,
    });
  let result = await run();
  for (let tries = 1; tries < CANARY_TRIES && isOffline(result); tries++) {
    await context.clock.sleep(CANARY_PAUSE_MS, signal);
    result = await run();
  }
  const { end, output } = result;
  if (end.kind === 'exit' && end.code === 0 && output.trim().endsWith(CANARY_ANSWER))
    return { event: 'done' };
  if (isOffline(result)) {
    throw new GweError(
      'PROTOCOL_OFFLINE',
      `cannot try gwe ${transaction.version}: the platform does not answer; nothing was changed`,
    );
  }
  const ending = end.kind === 'exit' ? `exited with status ${end.code}` : `ended by ${end.kind}`;
  const last = output.trim().split('\n').at(-1)?.slice(0, 300) ?? '';
  throw new GweError(
    'INSTALL_FAILED',
    `cannot update gwe to ${transaction.version}: the new executable ${ending} when tried beside this one: ${last}`,
  );
}

/** The canary could not reach the platform: no fault of the new executable. */
function isOffline({ end }: RunResult): boolean {
  return end.kind === 'exit' && end.code === CANARY_OFFLINE_STATUS;
}

async function switchOver(
  context: Pick<AgentContext, 'layout'>,
  transaction: CheckedTransaction,
): Promise<EffectResult> {
  const { layout } = context;
  const next = versionDirectoryName(transaction);
  const before = readLink(currentLink(layout, APP));
  if (before !== next) {
    if (before !== undefined) keepAsPrevious(layout, before);
    forgetStarts(layout);
    swapLink(next, currentLink(layout, APP));
  }
  return { event: 'done' };
}

/**
 * In the new gwe, after a check-in: it works. In the old one: either the switch has just been made, and a restart is
 * due; or the launcher has come back to it after three starts, and the new one has failed.
 */
async function judgeStart(
  context: Pick<AgentContext, 'layout' | 'env' | 'restart'>,
  transaction: CheckedTransaction,
): Promise<EffectResult> {
  if (isRunning(context, transaction)) return { event: 'done' };
  if (readStarts(context.layout).unconfirmed >= MOST_UNCONFIRMED_STARTS) {
    throw new GweError(
      'SUPERVISOR_UNHEALTHY',
      `gwe ${transaction.version} did not check in within ${MOST_UNCONFIRMED_STARTS} starts: the launcher restored the previous version`,
    );
  }
  context.restart();
  throw new GweError('CANCELLED', `gwe ${transaction.version} is in place: restarting into it`);
}

/**
 * As the way back of any app: to what is signed, by the keys of now, and unchanged. Refused, `current` stays, and what
 * the launcher starts is its own choice: it leaves no gateway without a gwe.
 */
async function switchBack(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'installed'>,
  transaction: CheckedTransaction,
): Promise<EffectResult> {
  const { layout } = context;
  const before = readLink(previousLink(layout, APP));
  const failed = versionDirectoryName(transaction);
  if (readLink(currentLink(layout, APP)) !== failed || before === undefined || before === failed)
    return { event: 'done' };
  const changed = checkOwnWayBack(context, before);
  swapLink(before, currentLink(layout, APP));
  forgetStarts(layout);
  if (changed === undefined) return { event: 'done' };
  return { event: 'done', learnt: { notes: [...transaction.notes, changed] } };
}
