/** `gwe remove`: everything that gwe knows of an app, and a word about the rest. */
import { existsSync, lstatSync } from 'node:fs';
import { join } from 'node:path';
import { APP_NAME_PATTERN } from '../../artifact/name.ts';
import { GweError } from '../../base/errors.ts';
import { listDirectory, readLink } from '../../base/fs.ts';
import { removeTree } from '../../base/remove-tree.ts';
import { appendHistory } from '../../store/history.ts';
import { appDataDirectory, appDirectory, programFile, programLog } from '../../store/layout.ts';
import { forgetSetAside } from '../../store/set-aside.ts';
import { removeAppTrees } from '../../store/versions.ts';
import { removeProgram } from '../../supervisor/programs.ts';
import type { AgentContext } from '../run/context.ts';
import { createId } from '../run/ids.ts';
import { type LockWait, withTransactionLock } from '../run/transaction-lock.ts';

type RemoveContext = Pick<
  AgentContext,
  'layout' | 'clock' | 'installed' | 'journal' | 'supervisor' | 'watcher'
>;

interface Removal {
  /** What is gone: the program, its entry, each version, its data. */
  removed: string[];
  /** What is still there and why, one sentence each. */
  left: string[];
}

interface RemoveOptions {
  /** Its data directory goes as well. */
  withData: boolean;
  wait: LockWait;
}

/**
 * Removes an app: program, program entry, link, versions, record. May be repeated after a crash: the record goes
 * last. An unreachable supervisord does not stop it, for then nothing of the app is run by it.
 */
export async function removeApp(
  context: RemoveContext,
  app: string,
  { withData, wait }: RemoveOptions,
): Promise<Removal> {
  return withTransactionLock(context, () => removeUnderLock(context, app, withData), wait);
}

/** What `removeApp` would take away, as paths. Changes nothing. */
export function planRemoval(
  { layout }: Pick<AgentContext, 'layout'>,
  app: string,
  withData: boolean,
): string[] {
  const entry = programFile(layout, app);
  const directory = appDirectory(layout, app);
  const versions = listDirectory(directory)
    .map((name) => join(directory, name))
    .filter((path) => lstatSync(path).isDirectory());
  return [
    ...(existsSync(entry) ? [entry] : []),
    ...versions,
    ...(withData && hasData({ layout }, app) ? [appDataDirectory(layout, app)] : []),
  ];
}

/** Whether the app has a data directory, installed or not. */
export function hasData({ layout }: Pick<AgentContext, 'layout'>, app: string): boolean {
  const path = appDataDirectory(layout, app);
  return APP_NAME_PATTERN.test(app) && lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

async function removeUnderLock(context: RemoveContext, app: string, withData: boolean): Promise<Removal> {
  assertSettled(context, app);
  const { layout } = context;
  const record = context.installed.get(app);
  const entry = programFile(layout, app);
  const hadEntry = existsSync(entry);
  context.watcher.end(app);
  const isStopped = await removeProgram(context.supervisor(), layout, app, {
    endsBackground: true,
  }).then(
    () => true,
    (error: unknown) => {
      if (error instanceof GweError && error.code === 'SUPERVISOR_UNREACHABLE') return false;
      throw error;
    },
  );
  forgetSetAside(layout, app);
  const trees = removeAppTrees(layout, app);
  const data = withData ? removeData(context, app) : leaveData(context, app);
  context.installed.set(app, undefined);
  if (record.active !== undefined || record.previous !== undefined)
    noteRemoval(context, app, record.active?.version ?? '');
  const isEntryGone = hadEntry && !existsSync(entry);
  return {
    removed: [
      ...(isEntryGone ? [isStopped ? `program ${app} (stopped)` : `program ${app}`, entry] : []),
      ...trees.removed.map((name) => join(appDirectory(layout, app), name)),
      ...data.removed,
    ],
    left: [
      ...(isStopped
        ? []
        : [
            'supervisord was not running, so it could not stop the program: make sure that none of its processes is left',
          ]),
      ...(hadEntry && !isEntryGone ? [`${entry}, which gwe did not write`] : []),
      ...trees.stayed.map(({ message }) => message),
      ...trees.foreign.map((path) => `${path}, which gwe did not make`),
      ...data.left,
      ...(existsSync(programLog(layout, app)) ? [`its log ${programLog(layout, app)}`] : []),
      'whatever its install.sh put elsewhere: gwe does not know about it and has not undone it',
    ],
  };
}

/** An unfinished update may need what would be removed. */
function assertSettled(context: Pick<AgentContext, 'journal'>, app: string): void {
  const open = context.journal.read();
  if (open !== undefined && !open.closed && open.app === app && open.state !== 'downloading') {
    throw new GweError(
      'STORE_LOCKED',
      `cannot remove '${app}': an update of it was interrupted; start gwe, which finishes or undoes it, and try again`,
    );
  }
}

function removeData(context: Pick<AgentContext, 'layout'>, app: string): Removal {
  const path = appDataDirectory(context.layout, app);
  if (!hasData(context, app)) return { removed: [], left: [] };
  const target = readLink(path);
  try {
    removeTree(path);
  } catch (error) {
    if (!(error instanceof GweError) || error.code !== 'STORE_MOUNTED') throw error;
    return { removed: [], left: [error.message] };
  }
  if (target === undefined) return { removed: [`its data ${path}`], left: [] };
  return { removed: [path], left: [`its data in ${target}, which ${path} was a link to`] };
}

function leaveData(context: Pick<AgentContext, 'layout'>, app: string): Removal {
  const path = appDataDirectory(context.layout, app);
  if (!hasData(context, app)) return { removed: [], left: [] };
  return { removed: [], left: [`its data ${path} ('gwe remove ${app} --data' removes it)`] };
}

function noteRemoval(context: Pick<AgentContext, 'layout' | 'clock'>, app: string, version: string): void {
  const nowMs = context.clock.wallMs();
  appendHistory(context.layout, {
    tx: createId(nowMs),
    app,
    version,
    outcome: 'removed',
    startedAtMs: nowMs,
    endedAtMs: nowMs,
    bytesFetched: 0,
  });
}
