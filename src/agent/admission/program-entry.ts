/** From a version directory to a checked program entry. */
import { lstatSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { ensureDirectory, readTextBounded } from '../../base/fs.ts';
import { appDataDirectory, currentLink } from '../../store/layout.ts';
import { ensureDataDirectory, programOwner } from '../../supervisor/data-directory.ts';
import {
  PROGRAM_LIMIT_BYTES,
  type RenderedProgram,
  renderProgram,
  renderSettings,
} from '../../supervisor/program.ts';
import { assertProgramConfig, type CheckContext } from '../../supervisor/program-check.ts';
import { assertProgramTimes } from '../../supervisor/program-times.ts';
import { directoryExists, readProcessEnvironment, userExists } from '../../supervisor/users.ts';
import { writeOutVariables } from '../../supervisor/write-out.ts';
import type { AgentContext } from '../run/context.ts';
import { assertUserAllowed, programUser } from './program-user.ts';

/**
 * The program entry for the tree in `directory`, or `undefined` for a one-off. Throws SUPERVISOR_PROGRAM_INVALID for
 * one that supervisord would choke on. `before-install`: users and directories are not looked for yet, because
 * install.sh may be what creates them.
 */
export async function readProgram(
  context: Pick<AgentContext, 'layout' | 'supervisor' | 'settings'>,
  app: string,
  directory: string,
  when: 'before-install' | 'now' = 'now',
): Promise<RenderedProgram | undefined> {
  const source = readTextBounded(join(directory, 'supervisor.conf'), PROGRAM_LIMIT_BYTES + 1);
  ensureDirectory(context.layout.logDirectory);
  const has = (path: string): boolean => statFile(join(directory, path));
  const program = await checkProgram(context, app, { source, has }, when);
  // As with its times: what was accepted under other settings is better than nothing.
  if (program !== undefined && when === 'before-install')
    assertUserAllowed(context, { app, settings: program.settings, directory });
  if (program !== undefined && when === 'now')
    ensureDataDirectory(appDataDirectory(context.layout, app), programOwner(program.text));
  return program;
}

function statFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === false;
}

/** A version as far as its program entry depends on it. */
interface ProgramSource {
  /** The text of its supervisor.conf; `undefined` for none. */
  source: string | undefined;
  /** Whether it holds a file of this path. */
  has(path: string): boolean;
}

/** The same for a version that does not have to be on the disk. Writes nothing. */
export async function checkProgram(
  context: Pick<AgentContext, 'layout' | 'supervisor' | 'settings'>,
  app: string,
  { source, has }: ProgramSource,
  when: 'before-install' | 'now',
): Promise<RenderedProgram | undefined> {
  const user = programUser(context);
  const program = renderProgram(app, source, {
    ...(user === undefined ? {} : { user }),
    logDirectory: context.layout.logDirectory,
    directory: appDataDirectory(context.layout, app),
    dataDirectory: appDataDirectory(context.layout, app),
    version: { directory: currentLink(context.layout, app), has },
  });
  if (program === undefined) return undefined;
  const usesEnvironment = program.text.includes('%(ENV_');
  const environment = usesEnvironment ? await supervisordEnvironment(context) : {};
  const check: CheckContext = {
    userExists: when === 'now' ? userExists : () => true,
    directoryExists: when === 'now' ? directoryExists : () => true,
    confDirectory: context.layout.programsDirectory,
    hostName: hostname(),
    environment,
  };
  assertProgramConfig(app, program.text, check, program.settings);
  // Not in a rollback: what was accepted under other settings is better than nothing.
  if (when === 'before-install')
    assertProgramTimes(app, program.text, program.settings, context.settings().installTimeoutS);
  if (!usesEnvironment) return program;
  const { settings, names } = writeOutVariables(app, program.settings, environment);
  return { ...program, settings, text: renderSettings(app, settings), variables: names };
}

/** `%(ENV_X)s` is expanded from supervisord's own environment, not from ours. */
async function supervisordEnvironment(
  context: Pick<AgentContext, 'supervisor'>,
): Promise<Record<string, string>> {
  return readProcessEnvironment(await context.supervisor().getPid()) ?? {};
}
