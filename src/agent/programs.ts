/** From a version directory to a checked program entry. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { ensureDirectory, readTextBounded } from '../base/fs.ts';
import { currentLink } from '../store/layout.ts';
import { assertProgramConfig } from '../supervisor/check.ts';
import { PROGRAM_LIMIT_BYTES, type RenderedProgram, renderProgram } from '../supervisor/program.ts';
import { directoryExists, userExists } from '../supervisor/users.ts';
import type { AgentContext } from './context.ts';

/** The program entry for the tree in `directory`, or `undefined` for a one-off. Throws for one that is not sound. */
export function readProgram(
  context: AgentContext,
  app: string,
  directory: string,
): RenderedProgram | undefined {
  const source = readTextBounded(join(directory, 'supervisor.conf'), PROGRAM_LIMIT_BYTES + 1);
  ensureDirectory(context.layout.logDirectory);
  const program = renderProgram(app, source, {
    logDirectory: context.layout.logDirectory,
    directory: currentLink(context.layout, app),
  });
  if (program === undefined) return undefined;
  assertProgramConfig(app, program.text, programContext(context), program.settings);
  return program;
}

function programContext(context: AgentContext) {
  return {
    userExists,
    directoryExists,
    confDirectory: context.layout.programsDirectory,
    hostName: hostname(),
    environment: definedOnly(context.env),
  };
}

function definedOnly(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
