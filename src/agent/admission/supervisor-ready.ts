/**
 * Whether supervisord will take what an update is going to hand it: for updates before install.sh, and for `gwe
 * plan`.
 */
import { findAdoptable } from '../../adopt/adopt-program.ts';
import type { VersionRecord } from '../../artifact/record.ts';
import { describeError, GweError } from '../../base/errors.ts';
import { writeFileDurable } from '../../base/fs.ts';
import { type Layout, programFile, versionDirectory } from '../../store/layout.ts';
import { setAsideEntry } from '../../store/set-aside.ts';
import { programMode, type RenderedProgram } from '../../supervisor/program.ts';
import { assertOwnProgram, assertUnclaimed, readOwn } from '../../supervisor/programs.ts';
import { assertReadable, readingFault } from '../../supervisor/readable.ts';
import type { AgentContext } from '../run/context.ts';
import { readProgram } from './program-entry.ts';

type ReadyContext = Pick<AgentContext, 'layout' | 'supervisor'>;

/** What an update does with programs of supervisord. */
interface ProgramUse {
  app: string;
  /** The new version has one. */
  hasProgram: boolean;
  /** The version that is active has one. */
  replacesProgram: boolean;
  /** The name belongs to an app of the original Gateway Engine, which the update takes over. */
  isTakenOver?: boolean;
}

/**
 * Throws SUPERVISOR_UNREACHABLE, SUPERVISOR_REFUSED with what supervisord says of a file that it cannot read, or
 * SUPERVISOR_FOREIGN_PROGRAM. A one-off does not need supervisord.
 */
export async function assertSupervisorReady(context: ReadyContext, use: ProgramUse): Promise<void> {
  const client = context.supervisor();
  // Without supervisord neither could the new program be started nor the old one be stopped.
  if (use.hasProgram || use.replacesProgram) await client.getState();
  if (!use.hasProgram) return;
  await assertReadable(client, `start program '${use.app}'`);
  // By then the update itself has made the entry its own.
  if (use.isTakenOver !== true) await assertOwnProgram(client, context.layout, use.app);
}

/**
 * What supervisord's files alone say of the name, before anything is fetched: the app of the original Gateway Engine
 * that the update takes over first, if there is one. Throws SUPERVISOR_FOREIGN_PROGRAM for what is in a group of the
 * operator.
 */
export function assertClaimable(layout: Layout, app: string): ReturnType<typeof findAdoptable> {
  const original = findAdoptable(layout, app);
  assertUnclaimed(layout, app, original === undefined ? 'group' : 'name');
  return original;
}

/**
 * The same for a look that changes nothing: a sentence where the update itself would first rewrite the app's own
 * entry.
 */
export async function lookAtSupervisor(context: ReadyContext, use: ProgramUse): Promise<string | undefined> {
  try {
    await assertSupervisorReady(context, use);
    return undefined;
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    const path = programFile(context.layout, use.app);
    const isOwn = describeError(error).includes(`'${path}'`) && readOwn(path, use.app) !== undefined;
    if (isOwn && error.facts.fault === 'CANT_REREAD')
      return `its present program entry is broken and would be rewritten: ${describeError(error)}`;
    throw error;
  }
}

/**
 * Where supervisord cannot read its configuration and the app's own entry may be why: the entry is rewritten from
 * the version that is active, or set aside where that one cannot be used as things are. A sentence if it was.
 */
export async function renewOwnEntry(
  context: Pick<AgentContext, 'layout' | 'log' | 'supervisor' | 'settings'>,
  app: string,
  active: VersionRecord | undefined,
): Promise<string | undefined> {
  const path = programFile(context.layout, app);
  const found = readOwn(path, app);
  if (found === undefined) return undefined;
  const fault = await readingFault(context.supervisor());
  if (fault === undefined) return undefined;
  const program = await renderActive(context, app, active);
  if (program?.text === found) return undefined;
  if (program === undefined) setAsideEntry(context.layout, app, found, describeError(fault));
  else writeFileDurable(path, program.text, programMode(program));
  const done = program === undefined ? 'set aside' : 'rewritten';
  const note = `the program entry of the active version was ${done}, as supervisord could not read it`;
  context.log.warn('supervisor.entry', { app, done }, `${note}: ${describeError(fault)}`);
  return note;
}

/** The entry that the active version should have; `undefined` if it has none, or none that supervisord would read. */
async function renderActive(
  context: Pick<AgentContext, 'layout' | 'supervisor' | 'settings'>,
  app: string,
  active: VersionRecord | undefined,
): Promise<RenderedProgram | undefined> {
  if (active === undefined) return undefined;
  const directory = versionDirectory(context.layout, app, active);
  try {
    return await readProgram(context, app, directory);
  } catch (error) {
    if (error instanceof GweError && error.code === 'SUPERVISOR_PROGRAM_INVALID') return undefined;
    throw error;
  }
}
