/** gwe under supervisord or systemd: its program entry or unit put in place and taken away. */
import { existsSync, lstatSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { describeError, GweError } from '../base/errors.ts';
import { ensureDirectory, removeFileDurable, swapLink, writeFileDurable } from '../base/fs.ts';
import { runProcess } from '../base/process.ts';
import { type Layout, programFile, unitFile, unitLink } from '../store/layout.ts';
import { isOwnProgram, type RenderedProgram } from '../supervisor/program.ts';
import { assertProgramConfig } from '../supervisor/program-check.ts';
import { applyProgram, assertOwnProgram, groupProcesses, removeProgram } from '../supervisor/programs.ts';
import { directoryExists, userExists } from '../supervisor/users.ts';
import { act, putText, requireOwn, type ServiceOptions, textOf } from './actions.ts';
import { type Environment, isOwnUnit } from './entry.ts';
import { APP } from './executable.ts';

const SYSTEMCTL_MS = 60_000;

export function hasOwnEntry(layout: Layout): boolean {
  const text = textOf(programFile(layout, APP));
  return text !== undefined && isOwnProgram(APP, text);
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

interface EntryOptions {
  /** Another executable than before is to run. */
  isNew: boolean;
  /** The entry may be of the original Gateway Engine, whose install.sh may be what runs this. */
  takesOver: { keepsRunning: boolean } | undefined;
}

/** Has supervisord run gwe by `entry`. */
export async function installEntry(
  options: ServiceOptions,
  entry: RenderedProgram,
  { isNew, takesOver }: EntryOptions,
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
  if (takesOver !== undefined && textOf(path) !== entry.text)
    await act(options, `write ${path}`, () => writeFileDurable(path, entry.text, 0o644));
  if (takesOver?.keepsRunning === true) {
    options.say('systemd starts gwe when the running one has ended');
    return;
  }
  if (!options.isDryRun) await assertOwnProgram(supervisor, layout, APP);
  // Written and not read since: what runs is not what it says.
  const isStale = (await supervisor.reloadConfig()).changed.includes(APP);
  const isRunning = (await groupProcesses(supervisor, APP)).some((one) => one.statename === 'RUNNING');
  if (textOf(path) === entry.text && isRunning && !isNew && !isStale) {
    options.say(`keep ${path}`);
    options.say('keep program gwe: supervisord runs it');
    return;
  }
  await act(
    options,
    `write ${path}, and have supervisord ${isRunning ? 'restart' : 'start'} gwe with it`,
    () => applyProgram(supervisor, layout, { app: APP, text: entry.text }),
  );
}

export async function removeEntry(options: ServiceOptions): Promise<void> {
  const { layout, supervisor } = options;
  if (!hasOwnEntry(layout)) return;
  const path = programFile(layout, APP);
  await act(options, `stop program gwe, and remove ${path}`, async () => {
    try {
      await removeProgram(supervisor, layout, APP);
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
  if (lstatSync(unitLink(layout), { throwIfNoEntry: false })?.isSymbolicLink() === true) {
    options.say(`keep ${unitLink(layout)}`);
  } else {
    await act(options, `link ${unitLink(layout)}`, () => {
      ensureDirectory(dirname(unitLink(layout)));
      swapLink('../gwe.service', unitLink(layout));
    });
  }
  if (isWritten) await systemctl(options, 'daemon-reload');
  await systemctl(options, isWritten || isNew ? 'restart' : 'start', 'gwe.service');
}

export async function removeUnit(options: ServiceOptions): Promise<void> {
  const { layout } = options;
  if (!hasOwnUnit(layout)) return;
  await systemctl(options, 'stop', 'gwe.service');
  for (const path of [unitLink(layout), unitFile(layout)]) {
    await act(options, `remove ${path}`, () => removeFileDurable(path));
  }
  await systemctl(options, 'daemon-reload');
}

/** Runs systemctl where systemd runs this very root; elsewhere says that the person has to. */
export async function systemctl(
  options: Pick<ServiceOptions, 'layout' | 'isDryRun' | 'clock' | 'say'>,
  ...args: string[]
): Promise<void> {
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
