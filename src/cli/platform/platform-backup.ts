/** `gwe platform backup`, `verify`, `restore` and `copy`: a platform as a whole. */
import { GweError } from '../../base/errors.ts';
import { tellFailedBackup } from '../../fleet-api/notices/backup-notice.ts';
import { askControl, type ControlCall } from '../../platform/server/control.ts';
import { createConnection } from '../../platform/storage/postgres/connection.ts';
import { createRecordTable } from '../../platform/storage/postgres/record-table.ts';
import { isServed } from '../../platform/storage/sqlite/database.ts';
import { finishRestore } from '../../platform/storage/sqlite/replaced.ts';
import { openSqliteStorage } from '../../platform/storage/sqlite/sqlite-storage.ts';
import { backUpPostgres } from '../../platform/storage/transfer/backup.ts';
import type { Progress } from '../../platform/storage/transfer/copy.ts';
import { verifyBackup } from '../../platform/storage/transfer/manifest.ts';
import {
  type Reactivation,
  restoreEmbedded,
  restorePostgres,
} from '../../platform/storage/transfer/restore.ts';
import type { CommandCall, CommandSpec, OptionSpec } from '../shell/command.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { absolutePath } from '../shell/path.ts';
import { DATABASE_OPTIONS, databaseOf } from './platform-database.ts';
import { OBJECTS_OPTIONS, objectsOf } from './platform-objects.ts';
import { printJson, renderTime } from './platform-options.ts';
import { carryOut } from './platform-serving.ts';

const DATA: OptionSpec = {
  name: 'data',
  value: 'DIR',
  help: 'directory of the platform; the process that serves it does the work',
};

export const platformBackup: CommandSpec = {
  path: ['platform', 'backup'],
  positionals: [],
  summary: 'Write all that a platform keeps to a new directory, while it serves',
  options: [
    { name: 'to', value: 'DIR', help: 'the backup: a new directory, or an empty one' },
    DATA,
    ...DATABASE_OPTIONS,
    ...OBJECTS_OPTIONS,
    JSON_OPTION,
  ],
  run: runBackup,
};

export const platformVerify: CommandSpec = {
  path: ['platform', 'verify'],
  positionals: [],
  summary: 'Read a backup whole, and compare it with its digests',
  options: [{ name: 'from', value: 'DIR', help: 'the backup' }, JSON_OPTION],
  run: runVerify,
};

export const platformRestore: CommandSpec = {
  path: ['platform', 'restore'],
  positionals: [],
  summary: 'Put a backup in the place of a platform, also while it serves',
  options: [
    { name: 'from', value: 'DIR', help: 'the backup' },
    { ...DATA, help: 'directory of the platform; what was there is kept in it, as before-TIME' },
    {
      name: 'reactivate',
      value: 'HOURS',
      help: 'let each serial number be activated once more within so long, unless it is heard with its key before; 0 for none',
      default: '0',
    },
    { name: 'product', value: 'PRODUCT', many: true, help: 'with --reactivate: of these products alone' },
    ...DATABASE_OPTIONS,
    ...OBJECTS_OPTIONS,
    JSON_OPTION,
  ],
  run: runRestore,
};

export const platformCopy: CommandSpec = {
  path: ['platform', 'copy'],
  positionals: [],
  summary: 'Move a platform from its directory to PostgreSQL, while it serves reads',
  options: [
    {
      name: 'from',
      value: 'DIR',
      help: 'directory of the platform; the process that serves it does the work',
    },
    { name: 'to', value: 'URL', help: 'postgres://USER@HOST:PORT/NAME, an empty database' },
    ...DATABASE_OPTIONS.filter(({ name }) => name !== 'database'),
    ...OBJECTS_OPTIONS,
    JSON_OPTION,
  ],
  run: runCopy,
};

function required(call: CommandCall, name: string, what: string): string {
  const text = call.options.text(name);
  if (text === undefined)
    throw new GweError('USAGE_MISSING', `option --${name} is missing: expected ${what}`);
  return text;
}

function directoryOf(call: CommandCall, name: string): string {
  return absolutePath(call.io, required(call, name, 'a directory'));
}

/** Reports the progress on stderr, a line for each step. */
function progressOf({ io }: CommandCall): Progress {
  return { clock: io.clock, signal: io.signal, say: (text) => io.stderr(`${text}\n`) };
}

/** Done by the process that serves the directory, or by this one where none does. */
async function onDirectory(
  call: CommandCall,
  directory: string,
  what: ControlCall,
): Promise<Readonly<Record<string, string | number>>> {
  const progress = progressOf(call);
  const served = await askControl(directory, what, progress);
  if (served !== undefined) return served;
  const storage = await openSqliteStorage({ directory, clock: call.io.clock });
  try {
    return await carryOut(storage, what, progress);
  } finally {
    await storage.close();
  }
}

function tell(call: CommandCall, document: Readonly<Record<string, unknown>>, text: string): number {
  if (call.options.has('json')) printJson(call, document);
  else call.io.stdout(`${text}\n`);
  return 0;
}

async function runBackup(call: CommandCall): Promise<number> {
  const to = directoryOf(call, 'to');
  const database = databaseOf(call);
  if (database === undefined) {
    const result = await onDirectory(call, directoryOf(call, 'data'), { call: 'backup', to });
    return tell(call, { to, ...result }, `backup in ${to}: ${result.files} files, ${result.bytes} bytes`);
  }
  const objects = objectsOf(call);
  const directory = objects === undefined ? directoryOf(call, 'data') : '';
  const source = { ...database, objects, directory };
  const { files } = await backUpPostgres(source, to, progressOf(call)).catch(async (error: unknown) => {
    await tellPlatform(call, database, error);
    throw error;
  });
  const bytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return tell(
    call,
    { to, files: files.length, bytes },
    `backup in ${to}: ${files.length} files, ${bytes} bytes`,
  );
}

/** Best effort: the database itself may be the reason why the backup failed. */
async function tellPlatform(
  { io: { clock }, options }: CommandCall,
  database: NonNullable<ReturnType<typeof databaseOf>>,
  error: unknown,
): Promise<void> {
  const connection = createConnection(database);
  const at = Math.floor(clock.wallMs() / 1000);
  await tellFailedBackup(createRecordTable(connection), { error, to: options.text('to') ?? '', at });
  await connection.close();
}

async function runVerify(call: CommandCall): Promise<number> {
  const from = directoryOf(call, 'from');
  const { files, madeAt } = await verifyBackup(from, call.io.signal);
  const text = `backup of ${renderTime(madeAt)}: ${files.length} files are whole`;
  return tell(call, { from, madeAt, files: files.length }, text);
}

async function runRestore(call: CommandCall): Promise<number> {
  const from = directoryOf(call, 'from');
  const reactivate = reactivationOf(call);
  const database = databaseOf(call);
  const result =
    database === undefined
      ? await restoreDirectory(call, { call: 'restore', from, reactivate })
      : await restorePostgres(from, { ...database, ...contentOf(call) }, reactivate, progressOf(call));
  const again =
    reactivate === undefined
      ? ''
      : `; ${result.reactivatable} serial numbers may be activated once more until ` +
        `${renderTime(Math.floor(call.io.clock.wallMs() / 1000) + reactivate.seconds)}`;
  const text = `restored the backup of ${renderTime(Number(result.madeAt))}; ${result.pausedRollouts} rollouts paused${again}`;
  return tell(call, { from, ...result }, text);
}

function contentOf(call: CommandCall): { objects: ReturnType<typeof objectsOf>; directory: string } {
  const objects = objectsOf(call);
  return { objects, directory: objects === undefined ? directoryOf(call, 'data') : '' };
}

async function restoreDirectory(
  call: CommandCall,
  what: Extract<ControlCall, { call: 'restore' }>,
): Promise<Readonly<Record<string, unknown>>> {
  const [directory, progress] = [directoryOf(call, 'data'), progressOf(call)];
  const served = await askControl(directory, what, progress);
  if (served !== undefined) return served;
  if (isServed(directory))
    throw new GweError(
      'PLATFORM_STATE',
      `cannot restore into '${directory}': another platform is running on it`,
    );
  const restored = await restoreEmbedded(what.from, directory, what.reactivate, progress);
  finishRestore(directory);
  return { ...restored };
}

function reactivationOf(call: CommandCall): Reactivation | undefined {
  const text = call.options.text('reactivate') ?? '0';
  const hours = Number(/^(\d{1,4})h?$/.exec(text)?.[1] ?? Number.NaN);
  if (Number.isNaN(hours))
    throw new GweError('USAGE_BAD_VALUE', `cannot use --reactivate '${text}': expected hours, such as 72h`);
  const products = call.options.list('product');
  if (hours === 0) return undefined;
  return { seconds: hours * 3600, ...(products.length === 0 ? {} : { products: [...products] }) };
}

async function runCopy(call: CommandCall): Promise<number> {
  const from = directoryOf(call, 'from');
  required(call, 'to', 'postgres://USER@HOST:PORT/NAME');
  const target = databaseOf(call, 'to');
  if (target === undefined) throw new GweError('USAGE_MISSING', 'option --to is missing: expected a URL');
  const objects = objectsOf(call, 'to');
  const result = await onDirectory(call, from, { call: 'copy', ...target, ...(objects && { objects }) });
  const { devices, rows, content } = result;
  return tell(
    call,
    { from, devices, rows, content },
    `copied and compared: ${devices} devices, ${rows} rows, ${content} objects; stop this platform, and start the new one`,
  );
}
