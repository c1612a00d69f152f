/** One app's program entry in supervisord's conf.d, and its process group: put in place, replaced, taken away. */
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, createSystemClock } from '../base/clock.ts';
import { describeError, GweError } from '../base/errors.ts';
import { listDirectory, readLink, readTextBounded, removeFileDurable, writeFileDurable } from '../base/fs.ts';
import { faultOf, type ProcessInfo, type SupervisorClient } from './client.ts';
import { findOwner, readConfigFiles, readSupervisordConfig } from './config-file.ts';
import { programOwner } from './data-directory.ts';
import { endGroupsOf, endMarked, type Leader, leadersOf } from './leftovers.ts';
import { isOriginalEntry } from './original-entry.ts';
import { isOwnProgram, isTornProgram, PROGRAM_LIMIT_BYTES } from './program.ts';
import { programTimes } from './program-times.ts';
import { readingFault } from './readable.ts';

/** Where program entries are: a file for each app, called by its name between prefix and suffix. */
export interface ProgramPlace {
  programsDirectory: string;
  programPrefix: string;
  programSuffix: string;
  /** supervisord.conf */
  supervisorConfig: string;
}

function programPath({ programsDirectory, programPrefix, programSuffix }: ProgramPlace, app: string): string {
  return join(programsDirectory, `${programPrefix}${app}${programSuffix}`);
}

export interface ProgramOptions {
  /** Mode of the entry's file: 0644, unless it holds something that only root may read. */
  mode?: number;
  clock?: Clock;
  /** How long all processes of the group may take to end; supervisord kills them after their stopwaitsecs. */
  stopDeadlineMs?: number;
  /** The longest stopwaitsecs that gwe waits for, if the entry sets more than the usual deadline. */
  longestStopMs?: number;
  /** Where the program does not run, end what it has put into the background as well. */
  endsBackground?: boolean;
  /** Nothing is started: the program had been stopped by hand. */
  staysStopped?: boolean;
  signal?: AbortSignal;
  /** The entry has worked before: it stays on the disk whatever supervisord says of the files. */
  isWayBack?: boolean;
}

const STOP_DEADLINE_MS = 10 * 60_000;
/** Beyond stopwaitsecs: supervisord's own rounds take a second each. */
const STOP_MARGIN_MS = 30_000;
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
  place: ProgramPlace,
  { app, text }: { app: string; text: string },
  options: ProgramOptions = {},
): Promise<void> {
  if (!isOwnProgram(app, text)) throw new Error(`the program entry of '${app}' lacks gwe's first line`);
  const path = programPath(place, app);
  await assertOwnProgram(client, place, app).catch(unlessUnreachable);
  const before = readOwn(path, app);
  const trouble = await readingFault(client).catch(unlessUnreachable);
  if (trouble !== undefined && !isAbout(trouble, path, app)) {
    // An entry that is there already is known to supervisord: no reason to be without the program.
    if (options.isWayBack !== true || before !== text) {
      // During a rollback alone, something may be written that supervisord sees only at its next start.
      if (options.isWayBack === true) writeFileDurable(path, text, options.mode);
      throw unreadable(app, trouble);
    }
    if (options.staysStopped === true) return;
  } else {
    const mode = modeOf(path);
    if (before !== text || mode !== (options.mode ?? mode)) writeFileDurable(path, text, options.mode);
    const fault = await readingFault(client);
    if (fault !== undefined) await putBack(client, { path, app, before, mode }, fault);
  }
  await takeDown(client, app, before, options);
  if (options.staysStopped === true) await putUpStopped(client, { path, app, text, mode: options.mode });
  else await putUp(client, app, path);
}

/**
 * Puts the entry `text` in the place of one that a power cut has torn, and has supervisord run it, unless it does: what
 * runs goes on. False if there is nothing to repair. Throws SUPERVISOR_* where the entry is back and nobody reads it.
 */
export async function repairProgram(
  client: SupervisorClient,
  place: ProgramPlace,
  app: string,
  text: string,
): Promise<boolean> {
  const path = programPath(place, app);
  if (readLink(path) !== undefined) return false;
  const found = entryText(path);
  if (found === undefined || !isTornProgram(app, found, text)) return false;
  writeFileDurable(path, text);
  await client.reloadConfig();
  if ((await groupProcesses(client, app)).length === 0) await putUp(client, app, path);
  return true;
}

/** Takes the app's group and its entry away. An entry that gwe did not write stays, and its program runs on. */
export async function removeProgram(
  client: SupervisorClient,
  place: ProgramPlace,
  app: string,
  options: ProgramOptions = {},
): Promise<void> {
  const path = programPath(place, app);
  const entry = readOwn(path, app);
  if (entry === undefined) return;
  try {
    await takeDown(client, app, entry, options);
  } catch (error) {
    // Without supervisord the entry is removed anyway, so that the next supervisord does not start it.
    if (error instanceof GweError && error.code === 'SUPERVISOR_UNREACHABLE') removeFileDurable(path);
    throw error;
  }
  removeFileDurable(path);
  await client.reloadConfig().catch(unlessUnreadable);
}

/** Stops and starts the processes of the app, by the entry that is active. */
export async function restartProgram(
  client: SupervisorClient,
  place: ProgramPlace,
  app: string,
  options: ProgramOptions = {},
): Promise<void> {
  await stopProgram(client, place, app, options);
  await client.startProcessGroup(app, false);
}

/** Stops the processes of the app and waits for their end. */
export async function stopProgram(
  client: SupervisorClient,
  place: ProgramPlace,
  app: string,
  options: ProgramOptions = {},
): Promise<void> {
  const entry = readOwn(programPath(place, app), app);
  if (entry === undefined) throw foreign(app, `'${programPath(place, app)}' is not gwe's`);
  await stopGroup(client, app, withStopWait(entry, options));
}

/**
 * Throws SUPERVISOR_FOREIGN_PROGRAM if the name `app` belongs to a program of the operator: by a file, or by what
 * supervisord has read from any file although gwe's own entry is not there.
 */
export async function assertOwnProgram(
  client: SupervisorClient,
  place: ProgramPlace,
  app: string,
): Promise<void> {
  const path = programPath(place, app);
  const isOurs = isOwnFile(path, app);
  if (!isOurs && (readLink(path) !== undefined || entryText(path) !== undefined)) {
    throw foreign(
      app,
      isOriginalEntry(app, entryText(path) ?? '')
        ? `'${path}' belongs to the original Gateway Engine; its update or 'gwe adopt' takes it over`
        : `'${path}' was not written by gwe`,
    );
  }
  assertUnclaimed(place, app);
  if (isOurs) return;
  const { added, removed } = await client.reloadConfig();
  if (added.includes(app)) throw foreign(app, 'supervisord reads it from a file of the operator');
  // A group that runs but is in no file any more was ours before a crash, or nobody's.
  if (removed.includes(app)) return;
  if ((await groupProcesses(client, app)).length > 0) {
    throw foreign(app, 'supervisord runs it from a file of the operator');
  }
}

/** The text of `path` if it is gwe's own entry for `app`. */
export function readOwn(path: string, app: string): string | undefined {
  return isOwnFile(path, app) ? entryText(path, PROGRAM_LIMIT_BYTES * 2) : undefined;
}

/** A directory in the place of the file counts as an empty one: no text is lost, and it is moved aside when it is replaced. */
function entryText(path: string, limitBytes = OPERATOR_FILE_LIMIT_BYTES): string | undefined {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat?.isDirectory() === true ? '' : readTextBounded(path, limitBytes);
}

function modeOf(path: string): number | undefined {
  const mode = lstatSync(path, { throwIfNoEntry: false })?.mode;
  return mode === undefined ? undefined : mode & 0o777;
}

function isOwnFile(path: string, app: string): boolean {
  if (readLink(path) !== undefined) return false;
  const text = entryText(path);
  return text !== undefined && isOwnProgram(app, text);
}

/** Throws SUPERVISOR_FOREIGN_PROGRAM where a file of the operator has a program or group `app`, or puts it into a group. */
export function assertUnclaimed(place: ProgramPlace, app: string, what: 'name' | 'group' = 'name'): void {
  const config = readSupervisordConfig(place.supervisorConfig, process.env);
  const included = listDirectory(place.programsDirectory)
    .filter((name) => name.startsWith(place.programPrefix) && name.endsWith(place.programSuffix))
    .map((name) => join(place.programsDirectory, name));
  const owner = findOwner(
    [...(config?.files ?? []), ...readConfigFiles(included)],
    app,
    programPath(place, app),
  );
  if (owner === undefined || (what === 'group' && !owner.isGroup)) return;
  if (!owner.isGroup) throw foreign(app, `'${owner.path}' has it`);
  throw new GweError(
    'SUPERVISOR_FOREIGN_PROGRAM',
    `cannot manage program '${app}': [${owner.section}] of '${owner.path}' has it among its programs, and supervisord changes groups only as a whole; expected '${app}' to be in no group; take it out of the line 'programs' there and run supervisorctl update`,
  );
}

/** supervisord names the file, or at least the section (older ones). */
function isAbout(fault: GweError, path: string, app: string): boolean {
  const words = fault.message;
  return words.includes(path) || words.includes(`'program:${app}'`);
}

function unreadable(app: string, fault: GweError): GweError {
  return new GweError(
    'SUPERVISOR_REFUSED',
    `cannot add program '${app}': supervisord cannot read its configuration, with or without this entry: ${describeError(fault)}; correct the named file`,
    { cause: fault, facts: { fault: 'CANT_REREAD' } },
  );
}

/** Undoes what supervisord cannot read, and throws whose fault it is. */
async function putBack(
  client: SupervisorClient,
  {
    path,
    app,
    before,
    mode,
  }: { path: string; app: string; before: string | undefined; mode: number | undefined },
  fault: GweError,
): Promise<never> {
  if (before === undefined) removeFileDurable(path);
  else writeFileDurable(path, before, mode);
  const isOurs = await client.reloadConfig().then(
    () => true,
    () => false,
  );
  if (!isOurs) throw unreadable(app, fault);
  throw new GweError(
    'SUPERVISOR_PROGRAM_INVALID',
    `cannot use program entry of '${app}': ${describeError(fault)}; the previous entry is back`,
    { cause: fault },
  );
}

/**
 * Stops and removes the group, if supervisord has it. Starts over when a process came back meanwhile. `entry` is what it
 * ran by.
 */
async function takeDown(
  client: SupervisorClient,
  app: string,
  entry: string | undefined,
  options: ProgramOptions,
): Promise<void> {
  const clock = options.clock ?? createSystemClock();
  const { stopDeadlineMs = STOP_DEADLINE_MS, ...rest } = withStopWait(entry, options);
  const endMs = clock.monotonicMs() + stopDeadlineMs;
  const isUp = (await groupProcesses(client, app)).some(({ statename }) => statename === 'RUNNING');
  for (;;) {
    await stopGroup(client, app, {
      ...rest,
      clock,
      stopDeadlineMs: Math.max(0, endMs - clock.monotonicMs()),
    });
    try {
      await client.removeProcessGroup(app);
      break;
    } catch (error) {
      if (faultOf(error) === 'BAD_NAME') break;
      if (faultOf(error) !== 'STILL_RUNNING' || clock.monotonicMs() >= endMs) throw error;
    }
    await clock.sleep(POLL_MS, options.signal);
  }
  if (options.endsBackground !== true || isUp) return;
  await endMarked({ app, owner: programOwner(entry ?? '')?.uid, address: client.address }, clock);
}

/** A program may take as long for its end as its entry says, within what the gateway allows. */
function withStopWait(entry: string | undefined, options: ProgramOptions): ProgramOptions {
  if (entry === undefined || options.stopDeadlineMs !== undefined) return options;
  const { stopWaitS } = programTimes(entry);
  const wantedMs = Math.min(stopWaitS * 1000, options.longestStopMs ?? STOP_DEADLINE_MS) + STOP_MARGIN_MS;
  return { ...options, stopDeadlineMs: Math.max(STOP_DEADLINE_MS, wantedMs) };
}

/** Stops all processes of the group and ends what they leave of their own process groups. */
async function stopGroup(client: SupervisorClient, app: string, options: ProgramOptions): Promise<void> {
  const clock = options.clock ?? createSystemClock();
  const deadlineMs = options.stopDeadlineMs ?? STOP_DEADLINE_MS;
  const endMs = clock.monotonicMs() + deadlineMs;
  const leaders = new Map<number, Leader>();
  for (let processes = await groupProcesses(client, app); ; processes = await groupProcesses(client, app)) {
    for (const leader of leadersOf(processes)) leaders.set(leader.pid, leader);
    if (processes.every(isDown)) break;
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
  await endGroupsOf([...leaders.values()], clock);
}

function isDown(info: ProcessInfo): boolean {
  return info.statename === 'STOPPED' || info.statename === 'EXITED' || info.statename === 'FATAL';
}

/** Activates the group; supervisord then starts it, unless it says autostart = false. */
async function putUp(client: SupervisorClient, app: string, path: string): Promise<void> {
  try {
    await client.addProcessGroup(app);
  } catch (error) {
    if (faultOf(error) === 'ALREADY_ADDED') return; // By the operator, from the entry that was just read.
    if (faultOf(error) !== 'BAD_NAME') throw error;
    throw new GweError(
      'SUPERVISOR_REFUSED',
      `cannot start program '${app}': supervisord does not read '${path}'; expected 'files' in [include] of its configuration to name it`,
      { cause: error, facts: { fault: 'BAD_NAME' } },
    );
  }
}

/**
 * Activates the group without starting it. supervisord starts what it adds, unless its entry says autostart = false, so
 * it says so for that moment: the file then is what supervisord is to find at its next start.
 */
async function putUpStopped(
  client: SupervisorClient,
  { path, app, text, mode }: { path: string; app: string; text: string; mode: number | undefined },
): Promise<void> {
  writeFileDurable(path, withoutAutostart(text), mode);
  try {
    await client.reloadConfig();
    await putUp(client, app, path);
  } finally {
    writeFileDurable(path, text, mode);
  }
  await client.reloadConfig();
}

function withoutAutostart(text: string): string {
  const lines = text.split('\n').filter((line) => !/^autostart\s*=/.test(line));
  return `${lines.join('\n').trimEnd()}\nautostart = false\n`;
}

/** The processes of the app's group, in the order of their names. */
export async function groupProcesses(client: SupervisorClient, app: string): Promise<ProcessInfo[]> {
  return (await client.getAllProcessInfo()).filter((info) => info.group === app);
}

/** Without supervisord the entry is written all the same; the call after that says that it is not there. */
function unlessUnreachable(error: unknown): undefined {
  if (!(error instanceof GweError) || error.code !== 'SUPERVISOR_UNREACHABLE') throw error;
}

/** The entry is gone; that another file cannot be read is for the operator to correct. */
function unlessUnreadable(error: unknown): void {
  if (faultOf(error) !== 'CANT_REREAD') throw error;
}

function foreign(app: string, found: string): GweError {
  return new GweError(
    'SUPERVISOR_FOREIGN_PROGRAM',
    `cannot manage program '${app}': ${found}, expected the name to be free; rename the app, or remove the operator's program and run supervisorctl update`,
  );
}
