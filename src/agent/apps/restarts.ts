import * as v from 'valibot';
import { bootId } from '../../base/process.ts';
import { type StoredFile, storedFile } from '../../base/stored-file.ts';
import type { ProcessInfo } from '../../supervisor/client.ts';

/**
 * How often each program has been started again, which supervisord does not count. Its log names every start, so the
 * lines since the last look are counted; where it writes none (another log level), a changed start time is one.
 */

const LARGEST_FILE_BYTES = 256 * 1024;
const QUARTER_HOUR_MS = 900_000;
const SPAWNED = /^(\d{4}-\S+ \S+) \w+ spawned: '([^']+)' with pid (\d+)$/;

const FileSchema = v.object({
  version: v.literal(1),
  bootId: v.string(),
  /** The last line about a start that was counted. */
  lastLine: v.string(),
  apps: v.record(v.string(), v.object({ digest: v.string(), restarts: v.number(), start: v.number() })),
});
type Known = v.InferOutput<typeof FileSchema>;

interface Watched {
  app: string;
  /** The digest of the active version: another version starts at zero. */
  digest: string;
  /** When its update had been accepted: starts before belong to that. */
  installedAtMs: number;
  /** The processes of its group. */
  processes: readonly ProcessInfo[];
}

/**
 * Starts of each app's processes after the first, since this version is active or the machine was started. `isKept`:
 * what is counted now is remembered, for the one who counts regularly.
 */
export function countRestarts(
  path: string,
  apps: readonly Watched[],
  log: string,
  isKept: boolean,
): ReadonlyMap<string, number> {
  const before = readKnown(path);
  const lines = log.split('\n').filter((line) => SPAWNED.test(line));
  // When it is not found the log was rotated, or is longer than its end that we have: all of that is new.
  const fresh = lines.slice(lines.lastIndexOf(before?.lastLine ?? '') + 1);
  const starts = fresh.map(parseStart);
  const entries = apps.map(({ app, digest, installedAtMs, processes }) => {
    const old = before?.apps[app];
    const start = processes.reduce((latest, process) => Math.max(latest, process.start), 0);
    const own = starts.filter(({ name }) => processes.some((process) => process.name === name));
    const hasMoved = old !== undefined && start !== old.start && start !== 0;
    const restarts =
      before === undefined
        ? 0
        : old?.digest === digest
          ? old.restarts + Math.max(own.length, hasMoved ? 1 : 0)
          : countAfter(own, processes, installedAtMs);
    return [app, { digest, restarts, start }] as const;
  });
  const lastLine = lines.at(-1) ?? before?.lastLine ?? '';
  const known: Known = { version: 1, bootId: bootId(), lastLine, apps: Object.fromEntries(entries) };
  if (isKept && JSON.stringify(known) !== JSON.stringify(before)) save(path, known);
  return new Map(entries.map(([app, { restarts }]) => [app, restarts]));
}

interface Start {
  /** The name of the process. */
  name: string;
  pid: number;
  /** As the log shows it: in the time zone of supervisord. */
  shownMs: number;
}

function parseStart(line: string): Start {
  const [, moment = '', name = '', pid = ''] = SPAWNED.exec(line) ?? [];
  return { name, pid: Number(pid), shownMs: Date.parse(`${moment.replace(' ', 'T').replace(',', '.')}Z`) };
}

/** The starts of a new version since its update was accepted. A process that runs tells the time zone. */
function countAfter(starts: readonly Start[], processes: readonly ProcessInfo[], sinceMs: number): number {
  for (const { pid, start } of processes) {
    const shown = starts.find((each) => each.pid === pid);
    if (shown === undefined || start === 0 || Number.isNaN(shown.shownMs)) continue;
    const zoneMs = Math.round((shown.shownMs - start * 1000) / QUARTER_HOUR_MS) * QUARTER_HOUR_MS;
    return starts.filter(({ shownMs }) => shownMs - zoneMs > sinceMs).length;
  }
  // Nobody knows when: the first one is the update's.
  return Math.max(0, starts.length - 1);
}

function readKnown(path: string): Known | undefined {
  const known = knownFile(path).readOr(undefined);
  return known?.bootId === bootId() ? known : undefined;
}

function knownFile(path: string): StoredFile<Known> {
  return storedFile(path, { schema: FileSchema, limitBytes: LARGEST_FILE_BYTES });
}

function save(path: string, known: Known): void {
  try {
    knownFile(path).write(known);
  } catch {
    // Worth no failed check-in: the same lines are counted again next time.
  }
}
