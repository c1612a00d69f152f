/**
 * `device_info` (one-platform.md §4.2): what the gateway is and how full it is, as `df`, `uname` and `free` would
 * print it.
 */
import * as os from 'node:os';
import { bootId } from '../../base/process.ts';
import { cutText } from '../../base/text.ts';
import { runtimeFacts } from '../../base/version.ts';
import {
  type InterfaceFacts,
  type MemoryFacts,
  readInterfaces,
  readLoad,
  readMemory,
  readUptime,
} from '../../machine/facts.ts';
import { type Mount, readMounts, renderDf } from '../../machine/mounts.ts';
import { createMissing, type Missing, type SystemFiles } from '../../machine/system-files.ts';
import type { ReleaseState } from '../run/release-lists.ts';
import { nameOf, type SetAside } from './delivery.ts';
import type { Report } from './engine-report.ts';
import { cutLines, fitFields } from './report-size.ts';

/** What the agent knows beside the kernel. */
export interface DeviceParts {
  files: SystemFiles;
  gweVersion: string;
  /** Facts of this gwe; `undefined` when it does not run. */
  gweUptimeS: number | undefined;
  clock: ClockFacts;
  /** `undefined` when supervisord was not asked or did not answer; `problem` says why then. */
  supervisord: { version?: string; problem?: string };
  maxBytes: number;
  /** Seconds between two check-ins. */
  intervalS?: number;
  /** Reports that do not come through. */
  setAside?: readonly SetAside[];
  /** Why a protective setting makes gwe refuse more than intended. */
  trust?: readonly string[];
  /** Where commands must be signed: the highest counter of each signer. */
  commandCounters?: Readonly<Record<string, number>> | undefined;
  /** Where a release list is wanted: the newest. */
  releases?: ReleaseState | undefined;
  interfaces?: typeof os.networkInterfaces;
}

export interface ClockFacts {
  /** Unix seconds, as this machine's clock shows. */
  now: number;
  /** `right` and `wrong` by the platform's word over TLS, `behind` the floor, or `unverified`. */
  state: 'right' | 'wrong' | 'behind' | 'unverified';
  /** The clock is this much ahead of the platform's. */
  aheadS?: number;
}

/** Everything that is known about the machine; what could not be read is named in `missing`. */
interface DeviceFacts {
  uname: string;
  mounts: Mount[];
  mountsLeftOut: number;
  memory?: MemoryFacts;
  free?: string;
  load?: number[];
  uptimeS?: number;
  interfaces?: Record<string, InterfaceFacts>;
  interfacesLeftOut: number;
  cpus: number;
  missing: Missing;
}

function readDeviceFacts(files: SystemFiles, interfaces = os.networkInterfaces): DeviceFacts {
  const missing = createMissing();
  const { mounts, more } = readMounts(files, missing);
  const memory = readMemory(files, missing);
  const load = readLoad(files, missing);
  const uptimeS = readUptime(files, missing);
  const net = readInterfaces(missing, interfaces);
  const uname = [os.type(), os.hostname(), os.release(), os.version(), os.machine()].join(' ');
  return {
    uname: cutText(uname, 1024),
    mounts,
    mountsLeftOut: more,
    ...(memory === undefined ? {} : { memory: memory.facts, free: memory.free }),
    ...(load === undefined ? {} : { load }),
    ...(uptimeS === undefined ? {} : { uptimeS }),
    ...(net === undefined ? {} : { interfaces: net.interfaces }),
    interfacesLeftOut: net?.more ?? 0,
    cpus: os.availableParallelism(),
    missing,
  };
}

/**
 * The report's JSON text. Key order matters: an old cloud-side parser finds `df` before `uname` (one-platform.md
 * §4.2), and our own fields come after the documented ones. The same parser takes the ninth character from the
 * beginning of `uname` on for the first of its value, so that a space stands behind the colon. `stable` leaves out
 * what changes constantly, to tell whether the report is worth sending again.
 */
export function renderDeviceInfo(parts: DeviceParts): Report {
  const facts = readDeviceFacts(parts.files, parts.interfaces);
  const { supervisord, clock, maxBytes, setAside = [], trust = [] } = parts;
  if (supervisord.problem !== undefined) facts.missing.note('supervisord', supervisord.problem);
  const third = Math.floor(maxBytes / 4);
  const addresses = Object.values(facts.interfaces ?? {}).flatMap((each) => each.addresses);
  const missing = facts.missing.notes();
  const fields = fitFields(
    {
      df: cutLines(renderDf(facts.mounts), third),
      uname: facts.uname,
      free: facts.free ?? '',
      ipaddrs: addresses.slice(0, 64),
    },
    [
      ['arch', process.arch],
      ['gwe', parts.gweVersion],
      ['target', `linux-${process.arch === 'arm' ? 'armv7l' : process.arch}`],
      ['boot', bootId()],
      ['interval', parts.intervalS],
      ['runtime', renderRuntime(clock.now)],
      ['supervisord', supervisord.version],
      ['uptime', facts.uptimeS],
      ['gwe_uptime', parts.gweUptimeS],
      ['clock', { now: clock.now, state: clock.state, ahead: clock.aheadS }],
      ['set_aside', setAside.length === 0 ? undefined : setAside],
      ['trust', trust.length === 0 ? undefined : trust],
      ['signed_commands', parts.commandCounters],
      ['releases', parts.releases],
      ['missing', missing.length === 0 ? undefined : missing],
      ['memory', renderMemory(facts.memory)],
      ['load', facts.load],
      ['cpus', facts.cpus],
      ['interfaces', facts.interfaces],
      ['interfaces_left_out', facts.interfacesLeftOut || undefined],
      ['mounts', facts.mounts.map(renderMount)],
      ['mounts_left_out', facts.mountsLeftOut || undefined],
    ],
    maxBytes - 1,
  );
  const stable = JSON.stringify([
    facts.mounts.map((mount) => [mount.path, Math.floor(mount.percent / PERCENT_STEP), mount.isReadOnly]),
    facts.uname,
    facts.interfaces,
    facts.memory?.totalBytes,
    facts.memory?.limitBytes,
    clock.state,
    supervisord.version,
    parts.gweVersion,
    parts.intervalS,
    missing.length,
    setAside.map(nameOf),
    trust,
    ...[parts.commandCounters, parts.releases].filter((part) => part !== undefined),
  ]);
  return { text: JSON.stringify(fields).replace('"uname":', '"uname": '), stable };
}

function renderRuntime(nowS: number): Record<string, string | boolean | undefined> {
  const { node, fixesUntil, isPastEnd } = runtimeFacts(nowS * 1000);
  return { node, fixes_until: fixesUntil, past_end: isPastEnd || undefined };
}

/** A disk that has become this much fuller is worth a report. */
const PERCENT_STEP = 5;

/** Bytes. */
function renderMemory(memory: MemoryFacts | undefined): Record<string, number | undefined> | undefined {
  if (memory === undefined) return undefined;
  return {
    total: memory.totalBytes,
    available: memory.availableBytes,
    swap_total: memory.swapTotalBytes,
    swap_free: memory.swapFreeBytes,
    limit: memory.limitBytes,
    limit_used: memory.limitUsedBytes,
  };
}

/** Bytes; file systems that do not count inodes have none. */
function renderMount(mount: Mount): Record<string, unknown> {
  return {
    path: mount.path,
    type: mount.type,
    total: mount.blocks * 1024,
    used: mount.used * 1024,
    available: mount.available * 1024,
    ...(mount.isReadOnly ? { ro: true } : {}),
    ...(mount.inodes === 0 ? {} : { inodes: mount.inodes, inodes_free: mount.freeInodes }),
  };
}
