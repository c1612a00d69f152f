/** The database that a platform is stored in, from an option; and `gwe platform migrate`. */
import { GweError } from '../../base/errors.ts';
import { assertReachable, createConnection } from '../../platform/storage/postgres/connection.ts';
import { migrate } from '../../platform/storage/postgres/schema.ts';
import type { CommandCall, CommandSpec, OptionSpec } from '../shell/command.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { printDocument } from '../shell/screen.ts';
import { readRequired } from './platform-options.ts';

export const DATABASE_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'database',
    value: 'URL',
    help: 'postgres://USER@HOST:PORT/NAME for all but content; several platforms may share it',
  },
  {
    name: 'database-password-file',
    value: 'FILE',
    help: 'file with the password of the database [env: PGPASSWORD]',
  },
];

interface DatabaseTarget {
  url: string;
  password?: string | undefined;
}

/** `undefined` without the option. Throws USAGE_BAD_VALUE if its value is not such a URL, or contains a password. */
export function databaseOf(call: CommandCall, option = 'database'): DatabaseTarget | undefined {
  const text = call.options.text(option);
  if (text === undefined) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^postgres(ql)?:$/.test(url.protocol) || url.pathname.length < 2)
    throw new GweError('USAGE_BAD_VALUE', `cannot use --${option}: expected postgres://USER@HOST:PORT/NAME`);
  if (url.password !== '')
    throw new GweError(
      'USAGE_BAD_VALUE',
      `cannot use --${option} with a password in it, which every user of this machine could read: expected ` +
        '--database-password-file or PGPASSWORD',
    );
  refuseLooseTls(url, option);
  const file = call.options.text('database-password-file');
  const password = file === undefined ? call.io.env.PGPASSWORD : readRequired(file, 'password').trim();
  return { url: text, password };
}

/** By libpq some other modes check no certificate, or fall back to none; by the library they check it. */
function refuseLooseTls(url: URL, option: string): void {
  const mode = url.searchParams.get('sslmode');
  if (mode === null || ['disable', 'verify-full'].includes(mode)) return;
  throw new GweError(
    'USAGE_BAD_VALUE',
    `cannot use --${option} with sslmode=${mode}: expected sslmode=verify-full, with sslrootcert=FILE for a private ` +
      'certificate authority, or sslmode=disable',
  );
}

export const platformMigrate: CommandSpec = {
  path: ['platform', 'migrate'],
  positionals: [],
  summary: 'Give an older PostgreSQL database the tables of this version',
  options: [...DATABASE_OPTIONS, JSON_OPTION],
  run: runMigrate,
};

async function runMigrate(call: CommandCall): Promise<number> {
  const target = databaseOf(call);
  if (target === undefined)
    throw new GweError('USAGE_MISSING', 'option --database is missing: expected a URL');
  const connection = createConnection(target);
  try {
    await assertReachable(connection, target);
    const { from, to } = await migrate(connection);
    if (call.options.has('json')) printDocument(call.io, { from, to });
    else
      call.io.stdout(
        from === to ? `schema version ${to}: nothing to do\n` : `schema version ${from} -> ${to}\n`,
      );
    return 0;
  } finally {
    await connection.close();
  }
}
