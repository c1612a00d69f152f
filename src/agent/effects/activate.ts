/** The second half of an update: install.sh, switch, restart, probe; and the rollback. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { VersionRecord } from '../../artifact/record.ts';
import { describeError, GweError, isDiskError } from '../../base/errors.ts';
import { bootId } from '../../base/process.ts';
import { type VersionId, versionDirectory } from '../../store/layout.ts';
import { forgetSetAside } from '../../store/set-aside.ts';
import { activate } from '../../store/versions.ts';
import { waitUntilHealthy } from '../../supervisor/health.ts';
import { programMode } from '../../supervisor/program.ts';
import { startDeadlineS } from '../../supervisor/program-times.ts';
import {
  applyProgram,
  groupProcesses,
  type ProgramOptions,
  removeProgram,
} from '../../supervisor/programs.ts';
import type { CheckedTransaction, Transaction } from '../../update/journal.ts';
import type { EffectContext, EffectResult, UpdateEffects } from '../../update/ports.ts';
import { checkBeforeUse, checkOnDisk, noteChangedByInstall } from '../admission/admission.ts';
import { assertLogsProtected } from '../admission/log-directories.ts';
import { isPlacedOwn } from '../admission/own-way-back.ts';
import { readProgram } from '../admission/program-entry.ts';
import { noteProgramUser } from '../admission/program-user.ts';
import { assertSupervisorReady, renewOwnEntry } from '../admission/supervisor-ready.ts';
import { assertLogsOutliveReboot, missingLogDirectories } from '../admission/volatile-logs.ts';
import { signersOnRecord } from '../admission/ways-back.ts';
import type { AgentContext } from '../run/context.ts';
import { assertRoomForData, assertScriptPlace, bringData, ensureAppData } from './app-data.ts';
import { noteMounted } from './clean-up.ts';
import { runHealthScript, runInstaller, ScriptFailure, type ScriptRun } from './install-script.ts';
import { waitForLease } from './lease.ts';
import { endFailedScript } from './script-run.ts';

type Context = Pick<AgentContext, 'layout' | 'clock' | 'log' | 'env' | 'settings' | 'supervisor'>;

type ActivateEffects = Pick<
  UpdateEffects,
  'promoted' | 'installing' | 'activating' | 'probing' | 'rolling-back'
>;

/** One version on the disk, as the effects handle it. */
interface Version extends VersionId {
  app: string;
}

export function createActivateEffects(
  context: Pick<
    AgentContext,
    'layout' | 'clock' | 'log' | 'env' | 'settings' | 'installed' | 'supervisor' | 'parked'
  >,
): ActivateEffects {
  return {
    promoted: (effect) => prepare(context, effect),
    installing: (effect) => install(context, effect),
    activating: (effect) => switchOver(context, effect.transaction),
    probing: (effect) => probe(context, effect.transaction, effect),
    'rolling-back': (effect) => rollBack(context, effect),
  };
}

/**
 * The last check before anything that runs is touched: is supervisord there, is the program's name ours, is there a
 * lease?
 */
async function prepare(
  context: Pick<AgentContext, 'layout' | 'clock' | 'log' | 'settings' | 'supervisor'>,
  { transaction, signal }: EffectContext<CheckedTransaction>,
): Promise<EffectResult> {
  const { app, previous } = transaction;
  const replacesProgram = previous?.hasProgram === true;
  const use = { app, hasProgram: transaction.hasProgram === true, replacesProgram };
  const renewed = use.hasProgram ? await renewOwnEntry(context, app, previous) : undefined;
  await assertSupervisorReady(context, use);
  assertScriptPlace(context, app);
  assertRoomForData(context, transaction);
  const wasStopped = transaction.wasStopped ?? (use.hasProgram && (await isStoppedByHand(context, app)));
  const directory = versionDirectory(context.layout, app, transaction);
  const program = await readProgram(context, app, directory, 'before-install');
  assertLogsProtected(context, app, program);
  const missingLogs = transaction.missingLogs ?? missingLogDirectories(app, program);
  const deferral = await waitForLease(context, app, signal);
  const asUser = program === undefined ? undefined : noteProgramUser(context, program.settings);
  const news = [
    transaction.unpackNote,
    asUser,
    renewed,
    wasStopped ? STAYS_STOPPED : undefined,
    deferral,
  ].filter((note) => note !== undefined);
  return { event: 'done', learnt: { notes: [...transaction.notes, ...news], wasStopped, missingLogs } };
}

const STAYS_STOPPED =
  "the program had been stopped by hand, so it was not started: 'gwe start' starts it, or the next start of supervisord does";

/** All of it, and by somebody: a program that was never started has no time at which it was stopped. */
async function isStoppedByHand(context: Pick<AgentContext, 'supervisor'>, app: string): Promise<boolean> {
  const processes = await groupProcesses(context.supervisor(), app);
  return processes.length > 0 && processes.every((one) => one.statename === 'STOPPED' && one.start > 0);
}

async function install(
  context: Pick<
    AgentContext,
    'layout' | 'clock' | 'log' | 'env' | 'settings' | 'installed' | 'supervisor' | 'parked'
  >,
  effect: EffectContext<CheckedTransaction>,
): Promise<EffectResult> {
  const { transaction, record } = effect;
  if (isPlacedOwn(context, transaction)) return { event: 'done', learnt: { exitCode: 0, output: '' } };
  const directory = versionDirectory(context.layout, transaction.app, transaction);
  // What install.sh may have changed was correct when it began.
  const found = transaction.script === undefined ? checkWaited(context, transaction) : undefined;
  await endFailedScript(context, transaction);
  const brought = await bringData(context, transaction);
  record(brought);
  await ensureAppData(context, transaction.app, directory);
  const run = scriptRun(context, effect, transaction, transaction.previous);
  const result = await runInstaller(context, run).catch((error: unknown) => {
    if (error instanceof ScriptFailure) record({ exitCode: error.exitCode, output: error.output });
    throw error;
  });
  const { exitCode, output } = result;
  const emptied = findEmptied(directory, transaction);
  if (emptied !== undefined) {
    record({ exitCode, output });
    throw emptied;
  }
  const changed = noteChangedByInstall(context, transaction);
  const notes = [
    ...(brought.notes ?? transaction.notes),
    ...(found === undefined || transaction.notes.includes(found) ? [] : [found]),
    ...(changed === undefined ? [] : [changed]),
    ...noteMounted(context, transaction),
    ...result.notes,
  ];
  return { event: 'done', learnt: { exitCode, output, notes, script: undefined } };
}

/** As `planned` decided: a rollback that was requested is judged by the keys trusted then. */
function checkWaited(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'installed'>,
  transaction: CheckedTransaction,
): string | undefined {
  if (transaction.source.kind !== 'previous') return checkBeforeUse(context, transaction, 'command');
  return checkBeforeUse(context, { ...transaction, ...signersOnRecord(context, transaction) }, 'way-back');
}

/** What install.sh has removed that the program needs: there would be nothing to start. */
function findEmptied(directory: string, { app, version, hasProgram }: Transaction): GweError | undefined {
  const needed = hasProgram === true ? join(directory, 'supervisor.conf') : directory;
  if (existsSync(needed)) return undefined;
  const what = hasProgram === true ? "'supervisor.conf'" : 'the directory of its version';
  return new GweError(
    'INSTALL_FAILED',
    `cannot install '${app}' ${version}: install.sh removed ${what}, expected it to stay: the version runs from there, and so does a rollback to it`,
  );
}

async function switchOver(
  context: Pick<AgentContext, 'layout' | 'settings' | 'supervisor'>,
  transaction: CheckedTransaction,
): Promise<EffectResult> {
  assertLogsOutliveReboot(context, transaction.app, transaction.missingLogs ?? []);
  const directory = versionDirectory(context.layout, transaction.app, transaction);
  const program = await readProgram(context, transaction.app, directory);
  assertLogsProtected(context, transaction.app, program);
  activate(context.layout, transaction.app, transaction);
  const { wasStopped: staysStopped = false } = transaction;
  const isStarted = await startProgram(context, transaction, { staysStopped });
  const news = noteVariables(program?.variables);
  return { event: isStarted ? 'done' : 'one-off', learnt: { notes: [...transaction.notes, ...news] } };
}

/** The values themselves may be secrets. */
function noteVariables(names: readonly string[] = []): string[] {
  if (names.length === 0) return [];
  return [
    `the program entry holds the present value of ${names.join(', ')} from supervisord's environment, which may lack it after a reboot`,
  ];
}

/**
 * Makes supervisord run what `current` points at; false if there is nothing to watch: no program, or one that stays
 * stopped.
 */
async function startProgram(
  context: Pick<AgentContext, 'layout' | 'settings' | 'supervisor'>,
  version: Version,
  options: ProgramOptions = {},
): Promise<boolean> {
  const program = await readProgram(
    context,
    version.app,
    versionDirectory(context.layout, version.app, version),
  );
  if (program === undefined) {
    await removeProgram(context.supervisor(), context.layout, version.app);
    return false;
  }
  const longestStopMs = context.settings().installTimeoutS * 1000;
  await applyProgram(
    context.supervisor(),
    context.layout,
    { app: version.app, text: program.text },
    {
      ...options,
      longestStopMs,
      mode: programMode(program),
    },
  );
  forgetSetAside(context.layout, version.app);
  return options.staysStopped !== true;
}

async function probe(context: Context, version: Version, effect: EffectContext): Promise<EffectResult> {
  const settings = context.settings();
  const program = await readProgram(
    context,
    version.app,
    versionDirectory(context.layout, version.app, version),
  );
  await waitUntilHealthy(context.supervisor(), version.app, {
    settleMs: settings.settleTimeS * 1000,
    deadlineMs: (startDeadlineS(program?.text ?? '', settings.startDeadlineS) + settings.settleTimeS) * 1000,
    clock: context.clock,
    signal: effect.signal,
    ...(program === undefined ? {} : { programText: program.text }),
    runHealthScript: () =>
      runHealthScript(context, scriptRun(context, effect, version, before(effect.transaction, version))),
  });
  return { event: 'done', learnt: { script: undefined } };
}

/**
 * Back to the version before: link, its install.sh (field apps copy files elsewhere, so a link alone undoes nothing),
 * program entry, restart, probe. Without a previous version, the app is removed.
 */
async function rollBack(
  context: Context & Pick<AgentContext, 'installed'>,
  effect: EffectContext<CheckedTransaction>,
): Promise<EffectResult> {
  const { transaction } = effect;
  await endFailedScript(context, transaction);
  const { previous, app } = transaction;
  const check = previous?.digest === transaction.digest ? checkOnDisk : checkBeforeUse;
  const old = previous === undefined ? undefined : { app, ...previous };
  const changed =
    old === undefined ? undefined : check(context, { ...old, ...signersOnRecord(context, old) }, 'way-back');
  const brought = await bringLate(context, effect);
  activate(context.layout, app, previous);
  if (previous === undefined) {
    await removeProgram(context.supervisor(), context.layout, app, {
      endsBackground: true,
    });
    return {
      event: 'done',
      learnt: { notes: [...transaction.notes, 'there was no previous version: the app is not installed'] },
    };
  }
  const version = { app, version: previous.version, digest: previous.digest };
  const failure =
    previous.digest === transaction.digest ? undefined : await reinstall(context, version, effect);
  // Its program may run nevertheless: that is better than none, or than the new one.
  const options = { isWayBack: true, endsBackground: true, staysStopped: transaction.wasStopped === true };
  if (await startProgram(context, version, options)) await probe(context, version, effect);
  if (failure !== undefined) throw failure;
  const learnt = { ...brought, script: undefined };
  if (changed === undefined) return { event: 'done', learnt };
  return { event: 'done', learnt: { ...learnt, notes: [...(brought.notes ?? transaction.notes), changed] } };
}

/**
 * As before install.sh, if that failed before; starting the old version without its data is better than not starting
 * it.
 */
async function bringLate(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'supervisor'>,
  { transaction, record }: EffectContext,
): Promise<Partial<Transaction>> {
  try {
    const brought = await bringData(context, transaction);
    record(brought);
    return brought;
  } catch (error) {
    context.log.error('data.left', { app: transaction.app, tx: transaction.id }, describeError(error));
    return {};
  }
}

/**
 * Runs the installer of the version before once more; what it failed with, if it did. One that has ended in this boot
 * counts: health.sh may have restarted gwe since.
 */
async function reinstall(
  context: Context,
  version: Version,
  effect: EffectContext,
): Promise<GweError | undefined> {
  const { transaction, record, signal } = effect;
  const done = transaction.reinstalled;
  if (done?.bootId === bootId())
    return done.failure === undefined ? undefined : new GweError('INSTALL_FAILED', done.failure);
  try {
    await ensureAppData(context, version.app, versionDirectory(context.layout, version.app, version));
    await runInstaller(context, scriptRun(context, effect, version, undefined));
    record({ reinstalled: { bootId: bootId() } });
    return undefined;
  } catch (error) {
    if (signal.aborted || !(error instanceof GweError)) throw error;
    // A disk that fails says nothing about the installer: it runs again at the next start.
    if (isDiskError(error)) return error;
    record({ reinstalled: { bootId: bootId(), failure: error.message } });
    return error;
  }
}

/** The record of what is replaced by `version`; nothing is where it is what an update goes back to. */
function before({ digest, previous }: Transaction, version: Version): VersionRecord | undefined {
  return digest === version.digest ? previous : undefined;
}

function scriptRun(
  context: Pick<AgentContext, 'layout'>,
  { transaction, signal, record }: EffectContext,
  version: Version,
  previous: VersionRecord | undefined,
): ScriptRun {
  const { version: wanted, digest, hasProgram } = transaction;
  const { app } = version;
  const isTarget = digest === version.digest;
  return {
    transaction,
    // Going back, what was active before is the version that failed.
    previousVersion: previous?.version ?? (isTarget ? '' : wanted),
    app,
    version: version.version,
    directory: versionDirectory(context.layout, app, version),
    previousDirectory: previous === undefined ? undefined : versionDirectory(context.layout, app, previous),
    isOneOff: (isTarget ? hasProgram : transaction.previous?.hasProgram) !== true,
    signal,
    record,
  };
}
