/** `gwe platform serve`: runs the embedded platform until it is told to stop. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { GweError } from '../base/errors.ts';
import { ensureDirectory, writeFileDurable } from '../base/fs.ts';
import { createLogger } from '../base/log.ts';
import { createPlatformServer } from '../platform/server.ts';
import type { CommandCall, CommandSpec } from './command.ts';
import { isLoopback, readRequired, readToken } from './platform-options.ts';

const DEFAULT_LISTEN = '127.0.0.1:8443';

export const platformServe: CommandSpec = {
  path: ['platform', 'serve'],
  positionals: [],
  summary: 'Serve the device API, content and management from one directory',
  options: [
    { name: 'data', value: 'DIR', help: 'where everything is kept; made if need be' },
    {
      name: 'listen',
      value: 'HOST:PORT',
      help: 'where to listen; port 0 takes a free one',
      default: DEFAULT_LISTEN,
    },
    { name: 'tls-cert', value: 'FILE', help: 'PEM certificate chain; serve HTTPS' },
    { name: 'tls-key', value: 'FILE', help: 'PEM key of the certificate' },
    {
      name: 'token-file',
      value: 'FILE',
      help: 'file with the admin token',
      default: 'DIR/admin-token, made if need be',
    },
    { name: 'insecure-http', help: 'listen on other than loopback without TLS' },
  ],
  run: serve,
};

async function serve(call: CommandCall): Promise<number> {
  const data = call.options.text('data');
  if (data === undefined)
    throw new GweError('USAGE_MISSING', 'option --data is missing: expected a directory');
  const { host, port } = parseListen(call.options.text('listen') ?? DEFAULT_LISTEN);
  const tls = readTls(call);
  if (tls === undefined && !isLoopback(host) && !call.options.has('insecure-http')) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `cannot listen on '${host}' without TLS: keys would cross the network in the clear, ` +
        'expected --tls-cert and --tls-key, a loopback address, or --insecure-http',
    );
  }
  const directory = resolve(call.io.cwd, data);
  const { clock, signal } = call.io;
  const server = await createPlatformServer({
    directory,
    host,
    port,
    ...(tls === undefined ? {} : { tls }),
    adminToken: adminToken(call, directory),
    clock,
    log: createLogger({ level: 'info', format: 'text', clock, write: call.io.stderr }),
  });
  call.io.stdout(`listening on ${server.url}\n`);
  await aborted(signal);
  await server.close();
  return 0;
}

/** `HOST:PORT`, `[::1]:PORT`. Throws USAGE_BAD_VALUE. */
export function parseListen(text: string): { host: string; port: number } {
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

function adminToken(call: CommandCall, directory: string): string {
  const given = call.options.text('token-file');
  if (given !== undefined) return readToken(given);
  const path = join(directory, 'admin-token');
  if (!existsSync(path)) {
    ensureDirectory(directory, 0o700);
    writeFileDurable(path, `${randomBytes(32).toString('hex')}\n`, 0o600);
  }
  return readToken(path);
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
