/** From a version directory to a checked program entry. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { ensureDirectory, readTextBounded } from '../base/fs.ts';
import { currentLink } from '../store/layout.ts';
import { assertProgramConfig, type CheckContext } from '../supervisor/check.ts';
import { PROGRAM_LIMIT_BYTES, type RenderedProgram, renderProgram } from '../supervisor/program.ts';
import { directoryExists, readProcessEnvironment, userExists } from '../supervisor/users.ts';
import type { AgentContext } from './context.ts';

/**
 * The program entry for the tree in `directory`, or `undefined` for a one-off. Throws SUPERVISOR_PROGRAM_INVALID for
 * one that supervisord would choke on. `before-install`: users and directories are not looked for yet, because
 * install.sh may be what creates them.
 */
export async function readProgram(
  context: AgentContext,
  app: string,
  directory: string,
  when: 'before-install' | 'now' = 'now',
): Promise<RenderedProgram | undefined> {
  const source = readTextBounded(join(directory, 'supervisor.conf'), PROGRAM_LIMIT_BYTES + 1);
  ensureDirectory(context.layout.logDirectory);
  return checkProgram(context, app, source, when);
}

/** The same for the text of a supervisor.conf; `undefined` for none. Writes nothing. */
export async function checkProgram(
  context: AgentContext,
  app: string,
  source: string | undefined,
  when: 'before-install' | 'now',
): Promise<RenderedProgram | undefined> {
  const program = renderProgram(app, source, {
    logDirectory: context.layout.logDirectory,
    directory: currentLink(context.layout, app),
  });
  if (program === undefined) return undefined;
  const usesEnvironment = program.text.includes('%(ENV_');
  const check: CheckContext = {
    userExists: when === 'now' ? userExists : () => true,
    directoryExists: when === 'now' ? directoryExists : () => true,
    confDirectory: context.layout.programsDirectory,
    hostName: hostname(),
    environment: usesEnvironment ? await supervisordEnvironment(context) : {},
  };
  assertProgramConfig(app, program.text, check, program.settings);
  return program;
}

/** `%(ENV_X)s` is expanded from supervisord's own environment, not from ours. */
async function supervisordEnvironment(context: AgentContext): Promise<Record<string, string>> {
  return readProcessEnvironment(await context.supervisor().getPid()) ?? {};
}
