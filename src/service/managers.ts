/** gwe under supervisord or systemd: its program entry or unit put in place and taken away. */
import { existsSync, lstatSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describeError, GweError } from '../base/errors.ts';
import { ensureDirectory, removeFileDurable, swapLink } from '../base/fs.ts';
import { runProcess } from '../base/process.ts';
import { type Layout, programFile } from '../store/layout.ts';
import { assertProgramConfig } from '../supervisor/check.ts';
import { isOwnProgram, type RenderedProgram } from '../supervisor/program.ts';
import { applyProgram, assertOwnProgram, groupProcesses, removeProgram } from '../supervisor/programs.ts';
import { directoryExists, userExists } from '../supervisor/users.ts';
import { act, putText, requireOwn, type ServiceOptions, textOf } from './actions.ts';
import { type Environment, isOwnUnit } from './entry.ts';
import { APP } from './executable.ts';

const SYSTEMCTL_MS = 60_000;

export function unitFile(layout: Layout): string {
  return join(layout.unitsDirectory, 'gwe.service');
}

/** The link by which systemd starts the unit at boot. */
function wantsLink(layout: Layout): string {
  return join(layout.unitsDirectory, 'multi-user.target.wants', 'gwe.service');
}

export function hasOwnEntry(layout: Layout): boolean {
  return isOwnProgram(APP, textOf(programFile(layout, APP)) ?? '');
}

export function hasOwnUnit(layout: Layout): boolean {
  return isOwnUnit(textOf(unitFile(layout)) ?? '');
}

/** Throws STORE_IO for files in the way that are not of gwe. */
export function requireOwnFiles(layout: Layout): void {
  requireOwn(programFile(layout, APP), hasOwnEntry(layout));
  requireOwn(unitFile(layout), hasOwnUnit(layout));
}

/** Throws SUPERVISOR_PROGRAM_INVALID for an entry that would stop supervisord at its next start. */
export function checkEntry(layout: Layout, entry: RenderedProgram, env: Environment): void {
  const environment = Object.fromEntries(
    Object.entries(env).filter((pair): pair is [string, string] => pair[1] !== undefined),
  );
  const isThere = (path: string): boolean => path === layout.logDirectory || directoryExists(path);
  assertProgramConfig(
    APP,
    entry.text,
    {
      userExists,
      directoryExists: isThere,
      confDirectory: layout.programsDirectory,
      hostName: hostname(),
      environment,
    },
    entry.settings,
  );
}

/** Has supervisord run gwe by `entry`; `isNew` says that another executable than before is to run. */
export async function installEntry(
  options: ServiceOptions,
  entry: RenderedProgram,
  isNew: boolean,
): Promise<void> {
  const { layout, supervisor } = options;
  const path = programFile(layout, APP);
  if (!options.isDryRun)
    for (const directory of [layout.logDirectory, layout.programsDirectory]) ensureDirectory(directory);
  const fault = await supervisor.getState().then(
    () => undefined,
    (error: unknown) => describeError(error),
  );
  if (fault !== undefined) {
    await putText(options, path, entry.text, 0o644);
    options.say(`to do: ${fault}`);
    options.say(
      "to do: start supervisord ('service supervisor start'); it then starts gwe, now and at every boot",
    );
    return;
  }
  if (!options.isDryRun) await assertOwnProgram(supervisor, layout.programsDirectory, APP);
  const isRunning = (await groupProcesses(supervisor, APP)).some((one) => one.statename === 'RUNNING');
  if (textOf(path) === entry.text && isRunning && !isNew) {
    options.say(`keep ${path}`);
    options.say('keep program gwe: supervisord runs it');
    return;
  }
  await act(options, `write ${path}, and have supervisord ${isRunning ? 'restart' : 'start'} gwe by it`, () =>
    applyProgram(supervisor, layout.programsDirectory, APP, entry.text),
  );
}

export async function removeEntry(options: ServiceOptions): Promise<void> {
  const { layout, supervisor } = options;
  if (!hasOwnEntry(layout)) return;
  const path = programFile(layout, APP);
  await act(options, `stop program gwe, and remove ${path}`, async () => {
    try {
      await removeProgram(supervisor, layout.programsDirectory, APP);
    } catch (error) {
      if (!(error instanceof GweError) || error.code !== 'SUPERVISOR_UNREACHABLE') throw error;
      options.say(`supervisord is not running, so there is no program to stop`);
    }
  });
}

/** Writes and enables the unit, and starts it if this root is the running system's. */
export async function installUnit(options: ServiceOptions, text: string, isNew: boolean): Promise<void> {
  const { layout } = options;
  const isWritten = await putText(options, unitFile(layout), text, 0o644);
  if (lstatSync(wantsLink(layout), { throwIfNoEntry: false })?.isSymbolicLink() === true) {
    options.say(`keep ${wantsLink(layout)}`);
  } else {
    await act(options, `link ${wantsLink(layout)}`, () => {
      ensureDirectory(join(layout.unitsDirectory, 'multi-user.target.wants'));
      swapLink('../gwe.service', wantsLink(layout));
    });
  }
  if (isWritten) await systemctl(options, 'daemon-reload');
  await systemctl(options, isWritten || isNew ? 'restart' : 'start', 'gwe.service');
}

export async function removeUnit(options: ServiceOptions): Promise<void> {
  const { layout } = options;
  if (!hasOwnUnit(layout)) return;
  await systemctl(options, 'stop', 'gwe.service');
  for (const path of [wantsLink(layout), unitFile(layout)]) {
    await act(options, `remove ${path}`, () => removeFileDurable(path));
  }
  await systemctl(options, 'daemon-reload');
}

/** Runs systemctl where systemd runs this very root; elsewhere says that the person has to. */
async function systemctl(options: ServiceOptions, ...args: string[]): Promise<void> {
  const argv = ['systemctl', ...args];
  if (options.layout.root !== '/' || !existsSync('/run/systemd/system')) {
    options.say(`to do: ${argv.join(' ')} (systemd does not run on '${options.layout.root}' now)`);
    return;
  }
  await act(options, `run ${argv.join(' ')}`, async () => {
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };
    const run = { env, timeoutMs: SYSTEMCTL_MS, captureBytes: 4096, clock: options.clock };
    const { end, output } = await runProcess(argv, run);
    if (end.kind === 'exit' && end.code === 0) return;
    throw new GweError('STORE_IO', `cannot run '${argv.join(' ')}': ${output.trim() || end.kind}`);
  });
}
