import * as v from 'valibot';
import { uptimeMs } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { bootId } from '../../base/process.ts';
import { storedFile } from '../../base/stored-file.ts';
import type { EngineSettings } from '../../config/schema.ts';
import type { Layout } from '../../store/layout.ts';
import type { ProcessInfo, SupervisorClient } from '../../supervisor/client.ts';
import { type Transaction, TransactionSchema } from '../../update/journal.ts';

/**
 * After an update has been accepted its program is watched a while longer: a crash loop that begins after the settle
 * time still rolls back (src/agent/README.md, "The path of an update"). Only the program's own ends count, never the
 * network's.
 */

const LARGEST_WATCH_BYTES = 1024 * 1024;
/** Ends within the window after which a program counts as looping; one or two may be bad luck. */
const RESTARTS_ALLOWED = 2;

const WatchSchema = v.object({
  transaction: TransactionSchema,
  /** On the clock that starts at boot; another boot begins the window again. */
  bootId: v.string(),
  untilUptimeMs: v.number(),
  /** When the operator last started or stopped the program: ends up to then are not the app's doing. */
  excusedUptimeMs: v.optional(v.number()),
});
type Watch = v.InferOutput<typeof WatchSchema>;
const FileSchema = v.object({ version: v.literal(1), watches: v.array(WatchSchema) });

interface WatcherParts {
  layout: Layout;
  log: Logger;
  settings(): EngineSettings;
  supervisor(): SupervisorClient;
}

export interface Watcher {
  /** Begins to watch the program of a committed transaction; the app's earlier watch ends. */
  open(transaction: Transaction): void;
  /** Ends the watch of `app`, whose update is over one way or the other. */
  end(app: string): void;
  /** The operator has just started or stopped the program of `app`: what was counted so far does not count. */
  excuse(app: string): void;
  isOpen(): boolean;
  /** Whether the transaction is still watched: a later update of its app ends that. */
  isWatched(transactionId: string): boolean;
  /** Those that are watched, in the order of their ends. */
  watched(): Transaction[];
  /** Looks at the programs once. The transactions whose program loops; their watches are still open. */
  look(): Promise<{ transaction: Transaction; reason: string }[]>;
}

export function createWatcher(context: WatcherParts): Watcher {
  /** Starts of each process as last seen, and how often that changed. */
  const seen = new Map<string, { start: number; restarts: number }>();
  const format = { schema: FileSchema, limitBytes: LARGEST_WATCH_BYTES, mode: 0o600 };
  const file = storedFile(context.layout.watches, format);
  // A damaged file ends the watch: the update was accepted already.
  const read = (): Watch[] => file.readOr(undefined)?.watches ?? [];
  const write = (watches: Watch[]): void =>
    watches.length === 0 ? file.remove() : file.write({ version: 1, watches });
  const end = (app: string): void => {
    seen.clear();
    const watches = read();
    const others = watches.filter((watch) => watch.transaction.app !== app);
    if (others.length < watches.length) write(others);
  };
  return {
    open(transaction) {
      const windowMs = context.settings().watchWindowS * 1000;
      if (windowMs === 0 || transaction.hasProgram !== true) return end(transaction.app);
      seen.clear();
      const { output: _output, ...kept } = transaction;
      const others = read().filter((watch) => watch.transaction.app !== transaction.app);
      write([...others, { transaction: kept, bootId: bootId(), untilUptimeMs: uptimeMs() + windowMs }]);
    },
    end,
    excuse(app) {
      const watches = read();
      if (!watches.some((watch) => watch.transaction.app === app)) return;
      const excusedUptimeMs = uptimeMs();
      write(watches.map((watch) => (watch.transaction.app === app ? { ...watch, excusedUptimeMs } : watch)));
    },
    isOpen: () => read().length > 0,
    isWatched: (id) => read().some((watch) => watch.transaction.id === id),
    watched: () => read().map(({ transaction }) => transaction),
    async look() {
      const watches = keepOpen(read(), context.settings().watchWindowS * 1000);
      if (JSON.stringify(watches) !== JSON.stringify(read())) write(watches);
      if (watches.length === 0) return [];
      const processes = await listProcesses(context);
      return watches.flatMap(({ transaction, excusedUptimeMs = 0 }) => {
        // Another process may have restarted the watch: a command line that installed, rolled back or restarted.
        const watchKey = `${transaction.id}:${excusedUptimeMs}`;
        const group = processes.filter((info) => info.group === transaction.app);
        const reason = group.map((info) => judge(info, watchKey, seen)).find((text) => text !== undefined);
        return reason === undefined ? [] : [{ transaction, reason }];
      });
    },
  };
}

/** Those whose window is still open; a window that a reboot cut begins again. */
function keepOpen(watches: readonly Watch[], windowMs: number): Watch[] {
  const now = uptimeMs();
  const boot = bootId();
  return watches
    .map((watch) =>
      watch.bootId === boot ? watch : { ...watch, bootId: boot, untilUptimeMs: now + windowMs },
    )
    .filter((watch) => watch.untilUptimeMs > now);
}

/** Why a process counts as looping, or `undefined`. A stop by the operator is not the app's doing. */
function judge(
  info: ProcessInfo,
  watchKey: string,
  seen: Map<string, { start: number; restarts: number }>,
): string | undefined {
  const key = `${watchKey}:${info.group}:${info.name}`;
  const before = seen.get(key);
  const hasRestarted = before !== undefined && info.start !== before.start;
  const restarts = (before?.restarts ?? 0) + (hasRestarted ? 1 : 0);
  seen.set(key, { start: info.start, restarts });
  if (info.statename === 'FATAL') return `supervisord gave up on it: ${info.description}`;
  if (restarts <= RESTARTS_ALLOWED) return undefined;
  return `it ended and was started again ${restarts} times within the watch window`;
}

/** supervisord's absence is not the app's fault: nothing is seen then. */
async function listProcesses(context: WatcherParts): Promise<ProcessInfo[]> {
  try {
    return await context.supervisor().getAllProcessInfo();
  } catch (error) {
    context.log.debug('watch.supervisor', {}, describeError(error));
    return [];
  }
}
