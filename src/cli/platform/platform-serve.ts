/** `gwe platform serve`: runs the embedded platform until it is stopped. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GweError } from '../../base/errors.ts';
import { ensureDirectory, writeFileDurable } from '../../base/fs.ts';
import { createLogger, LOG_LEVELS, type Logger } from '../../base/log.ts';
import { createFleetApi } from '../../fleet-api/fleet-api.ts';
import { keepNotifying } from '../../fleet-api/notices/notifier.ts';
import type { PlatformOptions } from '../../platform/server/server.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { absolutePath } from '../shell/path.ts';
import { printRemark } from '../shell/screen.ts';
import { consoleFiles } from './console-files.ts';
import { noteServed } from './last-served.ts';
import { DATABASE_OPTIONS, databaseOf } from './platform-database.ts';
import { NOTICE_OPTIONS, noticesOf } from './platform-notices.ts';
import { OBJECTS_OPTIONS, objectsOf } from './platform-objects.ts';
import { isLoopback, readRequired, readToken, refuseOpenFile } from './platform-options.ts';
import { serveUntilStopped } from './platform-serving.ts';
import { SIGN_ON_OPTIONS, signOnOf } from './platform-sign-on.ts';
import { placeSealKey } from './seal-key.ts';

const DEFAULT_LISTEN = '127.0.0.1:8443';

export const platformServe: CommandSpec = {
  path: ['platform', 'serve'],
  positionals: [],
  summary: 'Serve the device API, content and management from one directory',
  options: [
    {
      name: 'data',
      value: 'DIR',
      help: 'where everything is kept; made if need be; not needed with --objects and --token-file',
    },
    ...DATABASE_OPTIONS,
    ...OBJECTS_OPTIONS,
    ...SIGN_ON_OPTIONS,
    ...NOTICE_OPTIONS,
    {
      name: 'listen',
      value: 'HOST:PORT',
      help: 'where to listen; port 0 takes a free one',
      default: DEFAULT_LISTEN,
    },
    {
      name: 'admin-listen',
      value: 'HOST:PORT',
      help: 'where operators call, and devices cannot; without it both call at --listen',
    },
    {
      name: 'trusted-proxy',
      value: 'CIDR[,CIDR...]',
      help: 'proxies whose X-Forwarded-For or PROXY protocol is believed',
    },
    {
      name: 'keep-history',
      value: 'DAYS',
      help: 'drop history that is older, but the newest of each alias; 0 keeps all there is room for',
      default: '0',
    },
    { name: 'tls-cert', value: 'FILE', help: 'PEM certificate chain; serve HTTPS' },
    { name: 'tls-key', value: 'FILE', help: 'PEM key of the certificate' },
    {
      name: 'token-file',
      value: 'FILE',
      help: 'file with the admin token',
      default: 'DIR/admin-token, made if need be',
    },
    {
      name: 'seal-key-file',
      value: 'FILE',
      help: 'file with the key that seals secrets; made if need be',
      default: 'seal-key beside the token',
    },
    {
      name: 'drain',
      value: 'SECONDS',
      help: 'at SIGTERM, how long requests that are under way may go on',
      default: '30',
    },
    { name: 'log-format', value: 'text|json', help: 'lines of the log on stderr', default: 'text' },
    { name: 'log-level', value: 'LEVEL', help: 'debug, info, warn or error', default: 'info' },
    { name: 'insecure-http', help: 'listen on other than loopback without TLS' },
  ],
  run: serve,
};

async function serve(call: CommandCall): Promise<number> {
  const objects = objectsOf(call);
  const directory = dataDirectory(call, objects !== undefined);
  const listen = parseListen(call.options.text('listen') ?? DEFAULT_LISTEN);
  const adminListen = call.options.text('admin-listen');
  const admin = adminListen === undefined ? undefined : parseListen(adminListen);
  const tls = readTls(call);
  if (!call.options.has('insecure-http'))
    for (const { host } of [listen, ...(admin === undefined ? [] : [admin])]) refuseOpenHttp(host, tls);
  const tokenFile = placeToken(call, directory);
  const sealer = placeSealKey(call, tokenFile);
  const signOn = signOnOf(call);
  const notices = noticesOf(call, tls);
  const { clock } = call.io;
  const options: PlatformOptions = {
    directory,
    ...listen,
    admin,
    database: databaseOf(call),
    objects,
    trustedProxies: call.options.text('trusted-proxy')?.split(',') ?? [],
    keepHistorySeconds: keepHistory(call),
    ...(tls === undefined ? {} : { tls }),
    adminToken: readToken(tokenFile),
    operatorApi: ({ bodyLimits, ...context }) =>
      createFleetApi({ ...context, signOn, sealer, server: factsOf(call) }, bodyLimits),
    operatorPages: consoleFiles,
    background: (parts, closing) => keepNotifying(parts, { ...notices, sealer }, closing),
    clock,
    log: logOf(call),
    drainMs: drainSeconds(call) * 1000,
  };
  return serveUntilStopped(call, options, ({ url, adminUrl }) => {
    call.io.stdout(`listening on ${url}\n`);
    if (admin !== undefined) call.io.stdout(`operators at ${adminUrl}\n`);
    printRemark(
      call.io,
      `admin token in ${tokenFile}; 'gwe platform' and 'gwe fleet' of this user find it, and the URL`,
    );
    return noteServed(call.io, { url: callable(adminUrl), tokenFile });
  });
}

/** Need not be given where nothing is stored in it. Throws USAGE_MISSING. */
function dataDirectory(call: CommandCall, isElsewhere: boolean): string {
  const data = call.options.text('data');
  if (data !== undefined) return absolutePath(call.io, data);
  if (isElsewhere && call.options.text('token-file') !== undefined) return '';
  throw new GweError(
    'USAGE_MISSING',
    isElsewhere
      ? 'option --token-file is missing: expected the file with the admin token that all replicas share'
      : 'option --data is missing: expected a directory',
  );
}

function refuseOpenHttp(host: string, tls: object | undefined): void {
  if (tls !== undefined || isLoopback(host)) return;
  throw new GweError(
    'USAGE_BAD_VALUE',
    `cannot listen on '${host}' without TLS: keys would cross the network in the clear, ` +
      'expected --tls-cert and --tls-key, a loopback address, or --insecure-http',
  );
}

/** For an admin to look at. */
function factsOf(call: CommandCall): Parameters<typeof createFleetApi>[0]['server'] {
  const isDatabase = databaseOf(call) !== undefined;
  const content = objectsOf(call) !== undefined ? 'S3' : isDatabase ? 'database' : 'files';
  const database = isDatabase ? 'PostgreSQL' : 'SQLite';
  return { database, content, keepHistoryS: keepHistory(call), drainS: drainSeconds(call) };
}

/** In seconds; `undefined` to keep it for ever. Throws USAGE_BAD_VALUE. */
function keepHistory(call: CommandCall): number | undefined {
  const text = call.options.text('keep-history') ?? '0';
  if (!/^\d{1,5}$/.test(text))
    throw new GweError('USAGE_BAD_VALUE', `cannot use --keep-history '${text}': expected a number of days`);
  return Number(text) === 0 ? undefined : Number(text) * 24 * 3600;
}

/** Throws USAGE_BAD_VALUE. */
function drainSeconds(call: CommandCall): number {
  const text = call.options.text('drain') ?? '30';
  if (!/^\d{1,5}$/.test(text))
    throw new GweError('USAGE_BAD_VALUE', `cannot use --drain '${text}': expected a number of seconds`);
  return Number(text);
}

/** Throws USAGE_BAD_VALUE. */
function logOf({ io, options }: CommandCall): Logger {
  const level = oneOf(LOG_LEVELS, options.text('log-level') ?? 'info', '--log-level');
  const format = oneOf(['text', 'json'] as const, options.text('log-format') ?? 'text', '--log-format');
  return createLogger({ level, format, clock: io.clock, write: io.stderr });
}

function oneOf<T extends string>(known: readonly T[], text: string, option: string): T {
  const found = known.find((one) => one === text);
  if (found !== undefined) return found;
  throw new GweError('USAGE_BAD_VALUE', `cannot use ${option} '${text}': expected ${known.join(', ')}`);
}

/** `HOST:PORT`, `[::1]:PORT`. Throws USAGE_BAD_VALUE. */
function parseListen(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65535) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `cannot listen on '${text}': expected HOST:PORT, such as ${DEFAULT_LISTEN}`,
    );
  }
  return { host, port };
}

function readTls(call: CommandCall): { cert: string; key: string } | undefined {
  const cert = call.options.text('tls-cert');
  const key = call.options.text('tls-key');
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    throw new GweError('USAGE_MISSING', '--tls-cert and --tls-key go together: expected both');
  }
  return { cert: readRequired(cert, 'certificate'), key: readRequired(key, 'key') };
}

/** The path of the file with the token. */
function placeToken(call: CommandCall, directory: string): string {
  const given = call.options.text('token-file');
  if (given !== undefined) {
    refuseOpenFile(call.io, given, 'token');
    return absolutePath(call.io, given);
  }
  const path = join(directory, 'admin-token');
  if (!existsSync(path)) {
    ensureDirectory(directory, 0o700);
    writeFileDurable(path, `${randomBytes(32).toString('hex')}\n`, 0o600);
  }
  return path;
}

/** An address that stands for all addresses of this machine cannot be called; shows one that can. */
function callable(url: string): string {
  return url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:');
}
