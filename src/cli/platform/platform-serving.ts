/** A platform while it serves: runs until it is stopped, and carries out commands on all of its data. */
import { describeError, GweError } from '../../base/errors.ts';
import { tellFailedBackup } from '../../fleet-api/notices/backup-notice.ts';
import { type ControlCall, type ControlHandler, openControl } from '../../platform/server/control.ts';
import { createPlatformServer, type PlatformOptions } from '../../platform/server/server.ts';
import { markMoved } from '../../platform/storage/sqlite/replaced.ts';
import type { EmbeddedStorage } from '../../platform/storage/sqlite/sqlite-storage.ts';
import { backUpEmbedded } from '../../platform/storage/transfer/backup.ts';
import { copyPlatform, type Progress } from '../../platform/storage/transfer/copy.ts';
import { restoreEmbedded } from '../../platform/storage/transfer/restore.ts';
import type { CommandCall } from '../shell/command.ts';

type Server = Awaited<ReturnType<typeof createPlatformServer>>;

/** Returns the exit status. `begun` is called with the addresses, and returns what to do in the end. */
export async function serveUntilStopped(
  call: CommandCall,
  options: PlatformOptions,
  begun: (server: Pick<Server, 'url' | 'adminUrl'>) => () => void,
): Promise<number> {
  let server = await createPlatformServer(options);
  let failure: unknown;
  const stopping = new AbortController();
  const replace = async (): Promise<void> => {
    const port = portOf(options.port, server.url);
    const admin = options.admin && { ...options.admin, port: portOf(options.admin.port, server.adminUrl) };
    await server.close();
    server = await createPlatformServer({ ...options, port, admin }).catch((error: unknown) => {
      failure = error;
      stopping.abort(error);
      throw error;
    });
  };
  const control =
    server.embedded === undefined
      ? undefined
      : await openControl(options.directory, oneAtATime(handlerOf(() => server, replace, options)));
  const forget = begun(server);
  await aborted(AbortSignal.any([call.io.signal, stopping.signal]));
  forget();
  await control?.close();
  if (failure !== undefined) throw failure;
  await server.close();
  return 0;
}

/** The port that it already listens on, where any free port was asked for. */
function portOf(wanted: number, url: string): number {
  return wanted === 0 ? Number(new URL(url).port) : wanted;
}

/** Two of these at once would each change what the other reads. */
function oneAtATime(handle: ControlHandler): ControlHandler {
  let isBusy = false;
  return async (call, progress) => {
    if (isBusy)
      throw new GweError(
        'PLATFORM_STATE',
        `cannot ${call.call}: another backup, copy or restore is under way`,
      );
    isBusy = true;
    try {
      return await handle(call, progress);
    } finally {
      isBusy = false;
    }
  };
}

function handlerOf(
  server: () => Server,
  replace: () => Promise<void>,
  { directory, clock, log }: PlatformOptions,
): ControlHandler {
  return async (call, { say, signal }) => {
    const progress = { clock, say, signal };
    const { embedded } = server();
    if (embedded === undefined)
      throw new GweError('PLATFORM_STATE', 'the platform is not kept in a directory');
    log.info('platform.control', { call: call.call }, 'asked by the socket in its directory');
    const result = await carryOut(embedded, call, progress).catch((error: unknown) => {
      log.error('platform.failed', { method: call.call }, describeError(error));
      throw error;
    });
    if (call.call === 'restore') {
      say('putting it in place');
      await replace();
      log.info('platform.restored', { directory }, 'serving what was in the backup');
    }
    return result;
  };
}

/** Carries out a command on the storage of a directory, in the process that has it open. */
export async function carryOut(
  embedded: EmbeddedStorage,
  call: ControlCall,
  progress: Progress,
): Promise<Readonly<Record<string, number>>> {
  const { inside } = embedded;
  if (call.call === 'restore')
    return { ...(await restoreEmbedded(call.from, inside.directory, call.reactivate, progress)) };
  if (call.call === 'backup') {
    const at = Math.floor(progress.clock.wallMs() / 1000);
    const { files } = await backUpEmbedded(inside, call.to, progress).catch(async (error: unknown) => {
      await tellFailedBackup(embedded, { error, to: call.to, at });
      throw error;
    });
    return { files: files.length, bytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) };
  }
  const id = (await embedded.secret('database', 16, 2 ** 40)).toString('hex');
  const freeze = () =>
    inside.freeze('the platform is being copied to another database, and reads only until then');
  const copied = await copyPlatform({ ...inside, id, freeze }, call, progress);
  const { host, pathname } = new URL(call.url);
  markMoved(inside.directory, `${host}${pathname}`);
  await inside.freeze(`the platform has moved to the database ${host}${pathname}; stop this one`);
  return { ...copied };
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
