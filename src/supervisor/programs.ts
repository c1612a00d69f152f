/** One app's program entry in supervisord's conf.d, and its process group: put in place, replaced, taken away. */
import { dirname, join } from 'node:path';
import { type Clock, createSystemClock } from '../base/clock.ts';
import { describeError, GweError } from '../base/errors.ts';
import { listDirectory, readLink, readTextBounded, removeFileDurable, writeFileDurable } from '../base/fs.ts';
import { parseIni } from '../base/ini.ts';
import { faultOf, type ProcessInfo, type SupervisorClient } from './client.ts';
import { isOwnProgram, PROGRAM_LIMIT_BYTES } from './program.ts';

export interface ProgramOptions {
  clock?: Clock;
  /** How long all processes of the group may take to end; supervisord kills them after their stopwaitsecs. */
  stopDeadlineMs?: number;
  signal?: AbortSignal;
}

const STOP_DEADLINE_MS = 10 * 60_000;
const POLL_MS = 100;
const OPERATOR_FILE_LIMIT_BYTES = 1024 * 1024;

/**
 * Makes supervisord run `app` by the program entry `text`, which must have passed `checkProgramConfig`. Only this one
 * group is touched, whatever else changed in the files. May be repeated after a crash at any point.
 * Throws SUPERVISOR_FOREIGN_PROGRAM if the operator has a program of that name, SUPERVISOR_UNREACHABLE when the entry is
 * in place but supervisord is not there to read it, SUPERVISOR_PROGRAM_INVALID when supervisord does not read it (the
 * entry before is back then).
 */
export async function applyProgram(
  client: SupervisorClient,
  confDirectory: string,
  app: string,
  text: string,
  options: ProgramOptions = {},
): Promise<void> {
  if (!isOwnProgram(app, text)) throw new Error(`program entry of '${app}' without gwe's first line`);
  const path = join(confDirectory, `${app}.conf`);
  await assertOwnProgram(client, confDirectory, app).catch(unlessUnreachable);
  const before = readOwn(path, app);
  if (before !== text) writeFileDurable(path, text);
  await reread(client, path, app, before);
  await takeDown(client, app, options);
  await putUp(client, app, path);
}

/** Takes the app's group and its entry away. An entry that gwe did not write stays, and its program runs on. */
export async function removeProgram(
  client: SupervisorClient,
  confDirectory: string,
  app: string,
  options: ProgramOptions = {},
): Promise<void> {
  const path = join(confDirectory, `${app}.conf`);
  if (!isOwnFile(path, app)) return;
  try {
    await takeDown(client, app, options);
  } catch (error) {
    // Without supervisord the entry goes all the same, so that the next one does not start it.
    if (error instanceof GweError && error.code === 'SUPERVISOR_UNREACHABLE') removeFileDurable(path);
    throw error;
  }
  removeFileDurable(path);
  await client.reloadConfig().catch(unlessUnreadable);
}

/** Stops and starts the processes of the app, by the entry that is active. */
export async function restartProgram(
  client: SupervisorClient,
  confDirectory: string,
  app: string,
  options: ProgramOptions = {},
): Promise<void> {
  await stopProgram(client, confDirectory, app, options);
  await client.startProcessGroup(app, false);
}

/** Stops the processes of the app and waits for their end. */
export async function stopProgram(
  client: SupervisorClient,
  confDirectory: string,
  app: string,
  options: ProgramOptions = {},
): Promise<void> {
  if (!isOwnFile(join(confDirectory, `${app}.conf`), app)) throw foreign(app, `${app}.conf is not of gwe`);
  await stopGroup(client, app, options);
}

/**
 * Throws SUPERVISOR_FOREIGN_PROGRAM if the name `app` belongs to a program of the operator: by a file, or by what
 * supervisord has read from any file although gwe's own entry is not there.
 */
export async function assertOwnProgram(
  client: SupervisorClient,
  confDirectory: string,
  app: string,
): Promise<void> {
  const path = join(confDirectory, `${app}.conf`);
  const isOurs = isOwnFile(path, app);
  if (
    !isOurs &&
    (readLink(path) !== undefined || readTextBounded(path, OPERATOR_FILE_LIMIT_BYTES) !== undefined)
  ) {
    throw foreign(app, `'${path}' was not written by gwe`);
  }
  const other = operatorFiles(confDirectory, app).find((file) => definesGroup(file, app));
  if (other !== undefined) throw foreign(app, `'${other}' has it`);
  if (isOurs) return;
  const { added, removed } = await client.reloadConfig();
  if (added.includes(app)) throw foreign(app, 'supervisord reads it from a file of the operator');
  // A group that runs but is in no file any more was ours before a crash, or nobody's.
  if (removed.includes(app)) return;
  if ((await groupProcesses(client, app)).length > 0) {
    throw foreign(app, 'supervisord runs it from a file of the operator');
  }
}

function readOwn(path: string, app: string): string | undefined {
  return isOwnFile(path, app) ? readTextBounded(path, PROGRAM_LIMIT_BYTES * 2) : undefined;
}

function isOwnFile(path: string, app: string): boolean {
  if (readLink(path) !== undefined) return false;
  const text = readTextBounded(path, OPERATOR_FILE_LIMIT_BYTES);
  return text !== undefined && isOwnProgram(app, text);
}

/** The files from which supervisord takes programs by Debian's layout, but for the app's own. */
function operatorFiles(confDirectory: string, app: string): string[] {
  const included = listDirectory(confDirectory).filter(
    (name) => name.endsWith('.conf') && name !== `${app}.conf`,
  );
  const main = join(dirname(confDirectory), 'supervisord.conf');
  return [main, ...included.map((name) => join(confDirectory, name))];
}

function definesGroup(path: string, app: string): boolean {
  let text: string | undefined;
  try {
    text = readTextBounded(path, OPERATOR_FILE_LIMIT_BYTES);
  } catch {
    return false; // Not a file that supervisord could read either; it is asked next.
  }
  const sections = parseIni(text ?? '').sections.map(({ name }) => name);
  return sections.some(
    (name) => /^(?:program|group|eventlistener|fcgi-program):/.test(name) && afterColon(name) === app,
  );
}

function afterColon(section: string): string {
  return section.slice(section.indexOf(':') + 1).trim();
}

/** Has supervisord read the files again; if it can not, the entry before comes back. */
async function reread(
  client: SupervisorClient,
  path: string,
  app: string,
  before: string | undefined,
): Promise<void> {
  let complaint: unknown;
  try {
    await client.reloadConfig();
    return;
  } catch (error) {
    if (faultOf(error) !== 'CANT_REREAD') throw error;
    complaint = error;
  }
  if (before === undefined) removeFileDurable(path);
  else writeFileDurable(path, before);
  const isOurs = await client.reloadConfig().then(
    () => true,
    () => false,
  );
  const found = describeError(complaint);
  if (isOurs) {
    throw new GweError(
      'SUPERVISOR_PROGRAM_INVALID',
      `cannot use program entry of '${app}': ${found}; the entry before is back`,
      { cause: complaint },
    );
  }
  throw new GweError(
    'SUPERVISOR_REFUSED',
    `cannot add program '${app}': supervisord can not read its configuration, with or without this entry: ${found}; correct the named file`,
    { cause: complaint, facts: { fault: 'CANT_REREAD' } },
  );
}

/** Stops and removes the group, if supervisord has it. Starts over when a process came back meanwhile. */
async function takeDown(client: SupervisorClient, app: string, options: ProgramOptions): Promise<void> {
  const clock = options.clock ?? createSystemClock();
  const endMs = clock.monotonicMs() + (options.stopDeadlineMs ?? STOP_DEADLINE_MS);
  for (;;) {
    await stopGroup(client, app, {
      ...options,
      clock,
      stopDeadlineMs: Math.max(0, endMs - clock.monotonicMs()),
    });
    try {
      await client.removeProcessGroup(app);
      return;
    } catch (error) {
      if (faultOf(error) === 'BAD_NAME') return;
      if (faultOf(error) !== 'STILL_RUNNING' || clock.monotonicMs() >= endMs) throw error;
    }
    await clock.sleep(POLL_MS, options.signal);
  }
}

async function stopGroup(client: SupervisorClient, app: string, options: ProgramOptions): Promise<void> {
  const clock = options.clock ?? createSystemClock();
  const deadlineMs = options.stopDeadlineMs ?? STOP_DEADLINE_MS;
  const endMs = clock.monotonicMs() + deadlineMs;
  for (let processes = await groupProcesses(client, app); ; processes = await groupProcesses(client, app)) {
    if (processes.every(isDown)) return;
    if (options.signal?.aborted) throw new GweError('CANCELLED', `cannot stop program '${app}': cancelled`);
    if (clock.monotonicMs() > endMs) {
      throw new GweError(
        'SUPERVISOR_REFUSED',
        `cannot stop program '${app}': still ${processes.map((each) => each.statename).join(', ')} after ${Math.round(deadlineMs)} ms, expected it to end by its stopwaitsecs`,
      );
    }
    if (processes.some((each) => !isDown(each) && each.statename !== 'STOPPING')) {
      await client.stopProcessGroup(app, false).catch((error: unknown) => {
        if (faultOf(error) !== 'BAD_NAME') throw error;
      });
    }
    await clock.sleep(POLL_MS, options.signal);
  }
}

function isDown(info: ProcessInfo): boolean {
  return info.statename === 'STOPPED' || info.statename === 'EXITED' || info.statename === 'FATAL';
}

/** Activates the group; supervisord then starts it by itself unless it says autostart = false. */
async function putUp(client: SupervisorClient, app: string, path: string): Promise<void> {
  try {
    await client.addProcessGroup(app);
  } catch (error) {
    if (faultOf(error) === 'ALREADY_ADDED') return; // By the operator, from the entry that was just read.
    if (faultOf(error) !== 'BAD_NAME') throw error;
    throw new GweError(
      'SUPERVISOR_REFUSED',
      `cannot start program '${app}': supervisord does not read '${path}', expected 'files' in [include] of its configuration to name it`,
      { cause: error, facts: { fault: 'BAD_NAME' } },
    );
  }
}

/** The processes of the app's group, in the order of their names. */
export async function groupProcesses(client: SupervisorClient, app: string): Promise<ProcessInfo[]> {
  return (await client.getAllProcessInfo()).filter((info) => info.group === app);
}

/** Without supervisord the entry is written all the same; the call after that says that it is not there. */
function unlessUnreachable(error: unknown): void {
  if (!(error instanceof GweError) || error.code !== 'SUPERVISOR_UNREACHABLE') throw error;
}

/** The entry is gone; that another file can not be read is for the operator to mend. */
function unlessUnreadable(error: unknown): void {
  if (faultOf(error) !== 'CANT_REREAD') throw error;
}

function foreign(app: string, found: string): GweError {
  return new GweError(
    'SUPERVISOR_FOREIGN_PROGRAM',
    `cannot manage program '${app}': ${found}, expected the name to be free; rename the app, or remove the operator's program and run supervisorctl update`,
  );
}
