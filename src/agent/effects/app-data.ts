/** An app's data directory in an update: created before install.sh, and filled once from a version that had none. */
import { existsSync, lstatSync } from 'node:fs';
import { KEYS_APP_NAME, RESERVED_APP_NAME } from '../../artifact/name.ts';
import { GweError } from '../../base/errors.ts';
import { diskSpace, readLink } from '../../base/fs.ts';
import {
  appDataDirectory,
  currentLink,
  type Layout,
  programFile,
  versionDirectory,
  versionDirectoryName,
} from '../../store/layout.ts';
import { copyWritten, listWritten, type WrittenFile } from '../../store/written-files.ts';
import {
  assertDataDirectory,
  ensureDataDirectory,
  entryDirectory,
  type Owner,
  programOwner,
} from '../../supervisor/data-directory.ts';
import { readOwn, stopProgram } from '../../supervisor/programs.ts';
import type { Transaction } from '../../update/journal.ts';
import { readProgram } from '../admission/program-entry.ts';
import type { AgentContext } from '../run/context.ts';
import { scriptUser } from './install-script.ts';

const MOST_NAMED = 10;

/**
 * Makes it if it is missing, for whom the version in `directory` runs as; a user whom install.sh has yet to make gets
 * it later.
 */
export async function ensureAppData(
  context: Pick<AgentContext, 'layout' | 'settings' | 'supervisor'>,
  app: string,
  directory: string,
): Promise<void> {
  const program = await readProgram(context, app, directory, 'before-install');
  const owner = program === undefined ? scriptOwner(context) : programOwner(program.text);
  ensureDataDirectory(appDataDirectory(context.layout, app), owner);
}

/**
 * What install.sh needs of the gateway whatever it does: the user of `run_as`, and a data directory. Before anything is
 * fetched or touched, and for `gwe plan`: neither must cost a rollback, which needs the same. Throws CONFIG_INVALID,
 * STORE_IO.
 */
export function assertScriptPlace(context: Pick<AgentContext, 'layout' | 'settings'>, app: string): void {
  scriptUser(context);
  assertDataPlace(context.layout, app);
}

/** Throws STORE_IO where the app could have no data directory. gwe itself and sets of keys have none. */
export function assertDataPlace(layout: Layout, app: string): void {
  if (app !== RESERVED_APP_NAME && app !== KEYS_APP_NAME) assertDataDirectory(appDataDirectory(layout, app));
}

function scriptOwner(context: Pick<AgentContext, 'settings'>): Owner {
  return scriptUser(context) ?? { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
}

/**
 * What `bringData` is about to copy: files that the version before has in its own directory, because its program was
 * started in there, or because it is from before there were data directories.
 */
function findOwnData({ layout }: Pick<AgentContext, 'layout'>, transaction: Transaction): WrittenFile[] {
  const { app, previous, hasBroughtData } = transaction;
  if (previous === undefined || hasBroughtData === true) return [];
  const entry = readOwn(programFile(layout, app), app);
  const ranInVersion = entry !== undefined && entryDirectory(entry) === currentLink(layout, app);
  if (!ranInVersion && existsSync(appDataDirectory(layout, app))) return [];
  const link = currentLink(layout, app);
  const isCurrent = readLink(link) === versionDirectoryName(previous);
  // The link is put there when install.sh has ended, and tells the time by the clock of the files.
  const sinceMs = isCurrent ? lstatSync(link).mtimeMs : previous.installedAtMs;
  return listWritten(versionDirectory(layout, app, previous), sinceMs);
}

/** Throws STORE_NO_SPACE where they would not fit beside what is there. */
export function assertRoomForData(
  context: Pick<AgentContext, 'layout' | 'settings'>,
  transaction: Transaction,
): void {
  const files = findOwnData(context, transaction);
  if (files.length === 0) return;
  const data = appDataDirectory(context.layout, transaction.app);
  const { freeBytes } = diskSpace(data);
  const bytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const needed = bytes + context.settings().diskReserveBytes;
  if (freeBytes >= needed) return;
  throw new GweError(
    'STORE_NO_SPACE',
    `cannot copy what '${transaction.app}' has written to '${data}': ${freeBytes} bytes free on the disk, expected ${needed} with the reserve; nothing was changed`,
  );
}

/**
 * Copies them, with the program stopped, so that none is caught half written; what the journal is to remember. The
 * program stays down: whatever comes next starts the new one, or the old one again.
 */
export async function bringData(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'supervisor'>,
  transaction: Transaction,
): Promise<Partial<Transaction>> {
  const { layout, log } = context;
  const { app, previous, notes } = transaction;
  if (previous === undefined || findOwnData(context, transaction).length === 0) return {};
  if (readOwn(programFile(layout, app), app) !== undefined)
    await stopProgram(context.supervisor(), layout, app);
  const files = findOwnData(context, transaction);
  const data = appDataDirectory(layout, app);
  const from = versionDirectory(layout, app, previous);
  await ensureAppData(context, app, from);
  copyWritten(files, from, data);
  const note = describeBrought(files, previous.version, data);
  log.info('data.brought', { app, version: previous.version, files: files.length }, note);
  return { hasBroughtData: true, notes: [...notes, note] };
}

function describeBrought(files: readonly WrittenFile[], version: string, data: string): string {
  const named = files.slice(0, MOST_NAMED).map(({ path }) => path);
  const more = files.length > MOST_NAMED ? ` and ${files.length - MOST_NAMED} more` : '';
  const count = files.length === 1 ? '1 file' : `${files.length} files`;
  return `${count} written to the directory of version ${version} were copied to '${data}': ${named.join(', ')}${more}`;
}
