/** The second half of an update: install.sh, switch, restart, probe; and the way back. */

import type { VersionRecord } from '../artifact/record.ts';
import { GweError } from '../base/errors.ts';
import { bootId } from '../base/process.ts';
import { versionDirectory } from '../store/layout.ts';
import { activate } from '../store/versions.ts';
import { waitUntilHealthy } from '../supervisor/health.ts';
import { applyProgram, assertOwnProgram, removeProgram } from '../supervisor/programs.ts';
import type { Transaction } from '../update/journal.ts';
import type { EffectContext, EffectResult, UpdateEffects } from '../update/ports.ts';
import type { AgentContext } from './context.ts';
import { endOrphan, runHealthScript, runInstaller, ScriptFailure, type ScriptRun } from './install-script.ts';
import { waitForLease } from './lease.ts';
import { readProgram } from './programs.ts';
import { checkOnDisk, noteChangedByInstall } from './trust.ts';

type ActivateEffects = Pick<
  UpdateEffects,
  'promoted' | 'installing' | 'activating' | 'probing' | 'rolling-back'
>;

/** One version on the disk, as the effects handle it. */
interface Version {
  app: string;
  version: string;
  digest: string;
}

export function createActivateEffects(context: AgentContext): ActivateEffects {
  return {
    promoted: (effect) => prepare(context, effect),
    installing: (effect) => install(context, effect),
    activating: (effect) => switchOver(context, effect.transaction),
    probing: (effect) => probe(context, target(effect.transaction), effect),
    'rolling-back': (effect) => rollBack(context, effect),
  };
}

/** Last look before anything that runs is touched: is supervisord there, is the program's name ours, may we now? */
async function prepare(context: AgentContext, { transaction, signal }: EffectContext): Promise<EffectResult> {
  // Without supervisord neither could the new program be started nor the old one be stopped.
  if (transaction.hasProgram === true || transaction.previous?.hasProgram === true)
    await context.supervisor().getState();
  if (transaction.hasProgram === true)
    await assertOwnProgram(context.supervisor(), context.layout.programsDirectory, transaction.app);
  const deferral = await waitForLease(context, transaction.app, signal);
  if (deferral === undefined) return { event: 'done' };
  return { event: 'done', learnt: { notes: [...transaction.notes, deferral] } };
}

async function install(context: AgentContext, effect: EffectContext): Promise<EffectResult> {
  const { transaction, record, signal } = effect;
  const notes = [...transaction.notes];
  if (await endOrphan(context, transaction))
    notes.push('install.sh was still running from before a restart: ended and run again');
  if (hasRebooted(transaction) && transaction.hasProgram !== true) {
    return {
      event: 'done',
      learnt: { notes: [...notes, 'install.sh rebooted the gateway: taken as done'], exitCode: 0 },
    };
  }
  const result = await runInstaller(context, {
    ...scriptRun(context, transaction, target(transaction), transaction.previous),
    signal,
    onStart: (script) => record({ script }),
  }).catch((error: unknown) => {
    if (error instanceof ScriptFailure) record({ exitCode: error.exitCode, output: error.output });
    throw error;
  });
  const changed = noteChangedByInstall(context, target(transaction));
  if (changed !== undefined) notes.push(changed);
  return {
    event: 'done',
    learnt: { exitCode: result.exitCode, output: result.output, notes: [...notes, ...result.notes] },
  };
}

/** Whether the gateway went down while install.sh ran: one that had come to its end before has not done it. */
function hasRebooted({ script, exitCode }: Transaction): boolean {
  return script !== undefined && script.bootId !== bootId() && exitCode === undefined;
}

async function switchOver(context: AgentContext, transaction: Transaction): Promise<EffectResult> {
  const version = target(transaction);
  activate(context.layout, version.app, version);
  return { event: (await startProgram(context, version)) ? 'done' : 'one-off' };
}

/** Makes supervisord run what `current` points at; false if the version has no program. */
async function startProgram(context: AgentContext, version: Version): Promise<boolean> {
  const program = await readProgram(context, version.app, directoryOf(context, version));
  if (program === undefined) {
    await removeProgram(context.supervisor(), context.layout.programsDirectory, version.app);
    return false;
  }
  await applyProgram(context.supervisor(), context.layout.programsDirectory, version.app, program.text);
  return true;
}

async function probe(
  context: AgentContext,
  version: Version,
  { transaction, signal }: EffectContext,
): Promise<EffectResult> {
  const settings = context.settings();
  const program = await readProgram(context, version.app, directoryOf(context, version));
  await waitUntilHealthy(context.supervisor(), version.app, {
    settleMs: settings.settleTimeS * 1000,
    deadlineMs: (settings.startDeadlineS + settings.settleTimeS) * 1000,
    clock: context.clock,
    signal,
    ...(program === undefined ? {} : { programText: program.text }),
    runHealthScript: () =>
      runHealthScript(context, { ...scriptRun(context, transaction, version, undefined), signal }),
  });
  return { event: 'done' };
}

/**
 * Back to the version before: link, its install.sh (field apps copy files elsewhere, so a link alone undoes nothing),
 * program entry, restart, probe. Without one before, the app is taken away.
 */
async function rollBack(context: AgentContext, effect: EffectContext): Promise<EffectResult> {
  const { transaction } = effect;
  await endOrphan(context, transaction);
  const { previous, app } = transaction;
  const changed = previous === undefined ? undefined : checkOnDisk(context, { app, ...previous });
  activate(context.layout, app, previous);
  if (previous === undefined) {
    await removeProgram(context.supervisor(), context.layout.programsDirectory, app);
    return {
      event: 'done',
      learnt: { notes: [...transaction.notes, 'there was no version before: the app is not installed'] },
    };
  }
  const version = { app, version: previous.version, digest: previous.digest };
  const failure =
    previous.digest === transaction.digest ? undefined : await reinstall(context, version, effect);
  // Its program may well run all the same: that is better than none, or than the new one.
  if (await startProgram(context, version)) await probe(context, version, effect);
  if (failure !== undefined) throw failure;
  if (changed === undefined) return { event: 'done' };
  return { event: 'done', learnt: { notes: [...transaction.notes, changed] } };
}

/** Runs the installer of the version before once more; what it failed with, if it did. */
async function reinstall(
  context: AgentContext,
  version: Version,
  { transaction, record, signal }: EffectContext,
): Promise<unknown> {
  try {
    await runInstaller(context, {
      ...scriptRun(context, transaction, version, undefined),
      signal,
      onStart: (script) => record({ script }),
    });
    return undefined;
  } catch (error) {
    if (signal.aborted) throw error;
    return error;
  }
}

function scriptRun(
  context: AgentContext,
  { id }: Transaction,
  version: Version,
  previous: VersionRecord | undefined,
): ScriptRun {
  return {
    transaction: id,
    app: version.app,
    version: version.version,
    directory: directoryOf(context, version),
    previousDirectory:
      previous === undefined ? undefined : directoryOf(context, { app: version.app, ...previous }),
  };
}

function directoryOf(context: AgentContext, version: Version): string {
  return versionDirectory(context.layout, version.app, version.version, version.digest);
}

/** The version that a transaction installs. */
function target(transaction: Transaction): Version {
  const { app, version, digest } = transaction;
  if (digest === undefined)
    throw new GweError('STORE_IO', `cannot go on with '${app}': the journal holds no digest`);
  return { app, version, digest };
}
