import { accessSync, constants, existsSync } from 'node:fs';
import * as os from 'node:os';
import { dirname } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { systemCode } from '../base/errors.ts';
import { diskSpace } from '../base/fs.ts';
import { runtimeFacts } from '../base/version.ts';
import type { EngineSettings } from '../config/schema.ts';
import type { Layout } from '../store/layout.ts';
import type { Check, Finding } from './check.ts';
import { AS_ROOT, isRoot } from './commands.ts';
import { checkData } from './data.ts';

/** Checks of the machine: runtime libraries, processor, disk, permissions. */

/** As many as a small app has files, so that one more update fits. */
const FEW_INODES = 1000;
const FEWEST_INODES = 16;

export function machineChecks(
  layout: Layout,
  settings: EngineSettings,
  env: Readonly<Record<string, string | undefined>>,
  clock: Pick<Clock, 'wallMs'>,
): Check[] {
  return [
    { id: 'runtime', run: () => checkRuntime(env, clock.wallMs()) },
    { id: 'machine', run: checkMachine },
    { id: 'disk', run: () => checkDisk(layout, settings.diskReserveBytes) },
    { id: 'data', run: () => checkData(layout) },
    { id: 'access', run: () => checkAccess(layout) },
  ];
}

/** That gwe runs proves its libraries; these are for comparison with another gateway. */
function checkRuntime(env: Readonly<Record<string, string | undefined>>, nowMs: number): Finding {
  const { glibc, libraries } = readReport();
  const { node, fixesUntil, isPastEnd } = runtimeFacts(nowMs);
  const finding = `Node ${node}, glibc ${glibc}, ${libraries.join(', ')}`;
  const meddling = ['NODE_OPTIONS', 'NODE_TLS_REJECT_UNAUTHORIZED'].filter(
    (name) => (env[name] ?? '') !== '',
  );
  if (meddling.length === 0 && isPastEnd) {
    return {
      status: 'warn',
      finding: `${finding}; this Node release is past its end of life: it got fixes until ${fixesUntil}`,
      mend: 'install a gwe that was built on a newer runtime (src/packaging/README.md, How it is made: GWE_RUNTIME_LINUX_ARMV7L)',
    };
  }
  if (meddling.length === 0) return { status: 'ok', finding };
  return {
    status: 'warn',
    finding: `${finding}; ${meddling.join(' and ')} set, which changes what gwe does`,
    mend: `unset ${meddling.join(' ')}`,
  };
}

function readReport(): { glibc: string; libraries: string[] } {
  const report: unknown = process.report?.getReport();
  const { header, sharedObjects } = (report ?? {}) as { header?: unknown; sharedObjects?: unknown };
  const { glibcVersionRuntime } = (header ?? {}) as { glibcVersionRuntime?: unknown };
  const loaded = Array.isArray(sharedObjects) ? sharedObjects.map(String) : [];
  const wanted = ['libstdc++.so.6', 'libatomic.so.1'];
  return {
    glibc: typeof glibcVersionRuntime === 'string' ? glibcVersionRuntime : 'unknown',
    libraries: wanted.filter((name) => loaded.some((path) => path.endsWith(`/${name}`))),
  };
}

function checkMachine(): Finding {
  return {
    status: 'ok',
    finding: `gwe for ${process.arch} on ${os.machine()}, Linux ${os.release()}, ${Math.round(os.totalmem() / 1e6)} MB of memory`,
  };
}

function checkDisk(layout: Layout, reserveBytes: number): Finding {
  const spaces = [layout.appsDirectory, layout.downloadsDirectory, layout.stateDirectory].map((path) => ({
    path,
    ...diskSpace(path),
  }));
  const least = spaces.reduce((low, next) => (next.freeBytes < low.freeBytes ? next : low));
  const inodes = spaces.filter((space) => space.countsInodes);
  const fewest = inodes.reduce((low, next) => Math.min(low, next.freeInodes), Number.POSITIVE_INFINITY);
  const count = Number.isFinite(fewest) ? `${fewest} inodes` : 'inodes not counted';
  const finding = `${megabytes(least.freeBytes)} of ${megabytes(least.totalBytes)} free for '${least.path}', ${count}`;
  const mend =
    fewest < FEW_INODES && least.freeBytes >= 4 * reserveBytes
      ? 'remove files: each file of an update takes an inode'
      : `free some; an update leaves ${megabytes(reserveBytes)} free (disk_reserve_bytes)`;
  if (least.freeBytes <= reserveBytes || fewest < FEWEST_INODES) return { status: 'fail', finding, mend };
  if (least.freeBytes < 4 * reserveBytes || fewest < FEW_INODES) return { status: 'warn', finding, mend };
  return { status: 'ok', finding };
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`;
}

function checkAccess(layout: Layout): Finding {
  const directories = [
    dirname(layout.gatewayConfig),
    layout.stateDirectory,
    layout.runDirectory,
    layout.downloadsDirectory,
    layout.appsDirectory,
    layout.programsDirectory,
    layout.logDirectory,
  ];
  const faults = directories.flatMap((path) => {
    const fault = writeFault(path);
    return fault === undefined ? [] : [{ path, fault }];
  });
  if (faults.length === 0)
    return { status: 'ok', finding: `all ${directories.length} directories can be written` };
  const isReadOnly = faults.some(({ fault }) => fault === 'EROFS');
  return {
    status: 'fail',
    finding: `cannot write ${faults.map(({ path, fault }) => `'${path}' (${fault})`).join(', ')}`,
    ...(isReadOnly
      ? { mend: 'mount the file system writable' }
      : isRoot()
        ? { mend: 'find out who or what protects it' }
        : AS_ROOT),
  };
}

/** Why nothing could be written to `path`, or made where it will be; `undefined` if it could. */
function writeFault(path: string): string | undefined {
  let at = path;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  try {
    accessSync(at, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return systemCode(error) ?? 'unknown';
  }
}
