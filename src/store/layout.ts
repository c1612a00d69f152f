/**
 * Every path that gwe uses on a gateway, once (src/README.md, "Files on a gateway"). All are below a root, `/` on a
 * real gateway.
 */
import { join } from 'node:path';

export interface Layout {
  root: string;
  /** usr/local/bin/gwe: the executable as copied, later the launcher. */
  launcher: string;
  gatewayConfig: string;
  engineConfig: string;
  keysDirectory: string;
  /** Which keys were removed on this gateway, and the lowest set of keys that may take over since. */
  keyDecisions: string;
  stateDirectory: string;
  runDirectory: string;
  downloadsDirectory: string;
  /** Reports that wait to be sent: one file each. */
  outboxDirectory: string;
  /** What install.sh printed in the last updates: one file each. */
  updateLogsDirectory: string;
  /** Output and exit status of the script that runs: a directory for each. */
  scriptsDirectory: string;
  appsDirectory: string;
  /** var/opt/gwe: what apps keep, one directory each, whatever version of them is installed. */
  dataDirectory: string;
  /**
   * Where supervisord includes program entries from, and how it wants their files to be called around the app's name.
   */
  programsDirectory: string;
  programPrefix: string;
  programSuffix: string;
  /** supervisord's own configuration. */
  supervisorConfig: string;
  /** Entries of gwe that supervisord cannot start with wait here until it can. */
  badProgramsDirectory: string;
  logDirectory: string;
  /** etc/systemd/system: for gwe's own unit. */
  unitsDirectory: string;
  /** usr/local/lib/gwe/boot-guard: runs right before supervisord. */
  bootGuard: string;
  /** What starts supervisord without systemd, and the file that it sources. */
  supervisorInit: string;
  supervisorDefaults: string;
  journal: string;
  installed: string;
  /** How the last updates ended. */
  history: string;
  /** What is being carried out for the platform. */
  command: string;
  /** The newest release list. */
  releaseList: string;
  /** When it was last asked for. */
  releaseLook: string;
  /** The last signed command of each signer. */
  commandCounters: string;
  /** The highest release seen of each app. */
  /** For whom the key of Gateway.cfg is, and the keys of former identities. */
  deviceKeys: string;
  releases: string;
  /** Where the chunks of everything installed are. */
  chunkIndex: string;
  /** The traffic ledger as flushed, and as it is now; what other processes have left for it, one file each. */
  traffic: string;
  trafficNow: string;
  trafficSlipsDirectory: string;
  /** Which directories of apps are versions that gwe made. */
  versionList: string;
  /** Space that is given up if a full disk would keep an update from ending. */
  ballast: string;
  /** The last time that was certain: the clock is never below it. */
  clock: string;
  /** Updates that have been accepted and are still watched. */
  watches: string;
  /** Updates that are fetched and installed later. */
  parked: string;
  /** Where apps say "not now": one file each. */
  leasesDirectory: string;
  agentLock: string;
  /** What the agent tells the command line about itself. */
  runStatus: string;
  /** Which reports the platform has. */
  sentReports: string;
  /** Which reports do not come through. */
  delivery: string;
  /** How often each program was started again. */
  restarts: string;
  /** The update that waits for the next month's data budget. */
  budgetWait: string;
  /** When gwe last looked for commands with nothing left of the budget. */
  budgetLook: string;
  tlsTicket: string;
  /** The version of gwe that has checked in last. */
  confirmedStart: string;
  /** The digest of the executable that the launcher would restore. */
  previousDigest: string;
  /** What an agent that sleeps in a shell has to remember; there while it does. */
  handover: string;
  /** Somebody wants a check-in at once. */
  wakeMark: string;
  /** Which update somebody has cancelled. */
  cancelMark: string;
  transactionLock: string;
}

/** What supervisord on this gateway says of its files; the rest is as Debian has it. */
type ProgramPlace = Pick<
  Layout,
  'programsDirectory' | 'programPrefix' | 'programSuffix' | 'supervisorConfig'
>;

export function createLayout(root: string, place: Partial<ProgramPlace> = {}): Layout {
  const at = (...parts: string[]): string => join(root, ...parts);
  const programsDirectory = place.programsDirectory ?? at('etc/supervisor/conf.d');
  return {
    root,
    launcher: at('usr/local/bin/gwe'),
    gatewayConfig: at('etc/gwe/Gateway.cfg'),
    engineConfig: at('etc/gwe/Engine.config'),
    keysDirectory: at('etc/gwe/keys.d'),
    keyDecisions: at('var/lib/gwe/key-decisions.json'),
    stateDirectory: at('var/lib/gwe'),
    runDirectory: at('run/gwe'),
    downloadsDirectory: at('var/lib/gwe/downloads'),
    outboxDirectory: at('var/lib/gwe/outbox'),
    updateLogsDirectory: at('var/lib/gwe/logs'),
    scriptsDirectory: at('var/lib/gwe/scripts'),
    appsDirectory: at('opt/gwe/apps'),
    dataDirectory: at('var/opt/gwe'),
    programsDirectory,
    programPrefix: place.programPrefix ?? '',
    programSuffix: place.programSuffix ?? '.conf',
    supervisorConfig: place.supervisorConfig ?? at('etc/supervisor/supervisord.conf'),
    badProgramsDirectory: `${programsDirectory}.bad`,
    logDirectory: at('var/log'),
    unitsDirectory: at('etc/systemd/system'),
    bootGuard: at('usr/local/lib/gwe/boot-guard'),
    supervisorInit: at('etc/init.d/supervisor'),
    supervisorDefaults: at('etc/default/supervisor'),
    journal: at('var/lib/gwe/journal.json'),
    installed: at('var/lib/gwe/installed.json'),
    history: at('var/lib/gwe/history.json'),
    command: at('var/lib/gwe/command.json'),
    deviceKeys: at('var/lib/gwe/device-keys.json'),
    releaseList: at('var/lib/gwe/release-list.json'),
    releaseLook: at('run/gwe/release-look.json'),
    commandCounters: at('var/lib/gwe/command-counters.json'),
    releases: at('var/lib/gwe/releases.json'),
    chunkIndex: at('var/lib/gwe/chunks.idx'),
    traffic: at('var/lib/gwe/traffic.json'),
    trafficNow: at('run/gwe/traffic.json'),
    trafficSlipsDirectory: at('run/gwe/traffic.d'),
    versionList: at('var/lib/gwe/versions.json'),
    ballast: at('var/lib/gwe/ballast'),
    clock: at('var/lib/gwe/clock.json'),
    watches: at('var/lib/gwe/watch.json'),
    parked: at('var/lib/gwe/parked.json'),
    leasesDirectory: at('run/gwe/leases'),
    agentLock: at('run/gwe/agent.lock'),
    runStatus: at('run/gwe/status.json'),
    sentReports: at('run/gwe/reports.json'),
    delivery: at('run/gwe/delivery.json'),
    restarts: at('run/gwe/restarts.json'),
    budgetWait: at('run/gwe/budget-wait.json'),
    budgetLook: at('run/gwe/budget-look.json'),
    tlsTicket: at('run/gwe/tls-ticket'),
    confirmedStart: at('var/lib/gwe/confirmed'),
    previousDigest: at('var/lib/gwe/previous.sha256'),
    handover: at('run/gwe/handover.json'),
    wakeMark: at('run/gwe/wake'),
    cancelMark: at('run/gwe/cancel'),
    transactionLock: at('run/gwe/transaction.lock'),
  };
}

/** opt/gwe/apps/NAME: the versions of one app and the link `current`. */
export function appDirectory(layout: Layout, app: string): string {
  return join(layout.appsDirectory, app);
}

/** What distinguishes the versions of one app. */
export interface VersionId {
  version: string;
  digest: string;
}

/** The name of a version's directory: the same version with other bytes gets another one. */
export function versionDirectoryName({ version, digest }: VersionId): string {
  return `${version}-${digest.slice(0, 8)}`;
}

/** The version that a version's directory is of. */
export function versionOfDirectory(name: string): string {
  return name.replace(/-[0-9a-f]{8}$/, '');
}

export function versionDirectory(layout: Layout, app: string, id: VersionId): string {
  return join(appDirectory(layout, app), versionDirectoryName(id));
}

export function currentLink(layout: Layout, app: string): string {
  return join(appDirectory(layout, app), 'current');
}

/**
 * The version that the launcher would restore; only gwe itself has one, the versions of other apps are in
 * installed.json.
 */
export function previousLink(layout: Layout, app: string): string {
  return join(appDirectory(layout, app), 'previous');
}

/** var/opt/gwe/NAME: outlives every version of the app. */
export function appDataDirectory(layout: Layout, app: string): string {
  return join(layout.dataDirectory, app);
}

/** etc/supervisor/conf.d/NAME.conf */
export function programFile(layout: Omit<ProgramPlace, 'supervisorConfig'>, app: string): string {
  return join(layout.programsDirectory, programFileName(layout, app));
}

function programFileName(
  { programPrefix, programSuffix }: Pick<Layout, 'programPrefix' | 'programSuffix'>,
  app: string,
): string {
  return `${programPrefix}${app}${programSuffix}`;
}

/** What distributions call the unit that starts supervisord. */
export const SUPERVISOR_UNIT_NAMES = ['supervisor.service', 'supervisord.service'] as const;

/** Where a unit may be. */
export function supervisorUnitFiles({ root }: Pick<Layout, 'root'>, unit: string): string[] {
  return ['etc/systemd/system', 'usr/lib/systemd/system', 'lib/systemd/system'].map((directory) =>
    join(root, directory, unit),
  );
}

/** What gwe adds to the unit. */
export function supervisorDropIn({ unitsDirectory }: Pick<Layout, 'unitsDirectory'>, unit: string): string {
  return join(unitsDirectory, `${unit}.d`, 'gwe.conf');
}

/** etc/supervisor/conf.d.bad/NAME.why: what supervisord said to it. */
export function badProgramReason(layout: Pick<Layout, 'badProgramsDirectory'>, app: string): string {
  return join(layout.badProgramsDirectory, `${app}.why`);
}

/** etc/supervisor/conf.d.bad/NAME.conf */
export function badProgramFile(
  layout: Pick<Layout, 'badProgramsDirectory' | 'programPrefix' | 'programSuffix'>,
  app: string,
): string {
  return join(layout.badProgramsDirectory, programFileName(layout, app));
}

/** The app whose entry a file of that name would be. */
export function appOfProgramFile(
  { programPrefix, programSuffix }: Pick<Layout, 'programPrefix' | 'programSuffix'>,
  name: string,
): string | undefined {
  const isOne =
    name.length > programPrefix.length + programSuffix.length &&
    name.startsWith(programPrefix) &&
    name.endsWith(programSuffix);
  return isOne ? name.slice(programPrefix.length, name.length - programSuffix.length) : undefined;
}

export function programLog(layout: Layout, app: string): string {
  return join(layout.logDirectory, `${app}.log`);
}

/** run/gwe/leases/APP.json */
export function leaseFile(layout: Layout, app: string): string {
  return join(layout.leasesDirectory, `${app}.json`);
}

/** What install.sh printed in one update. */
export function updateLogFile(layout: Layout, tx: string): string {
  return join(layout.updateLogsDirectory, `${tx}.log`);
}

/** The launcher's count of starts without a check-in: of a version not confirmed yet, and of one that was. */
export function startCountFile(layout: Layout, isConfirmed: boolean): string {
  return join(isConfirmed ? layout.runDirectory : layout.stateDirectory, 'starts');
}

/** etc/systemd/system/gwe.service */
export function unitFile(layout: Layout): string {
  return join(layout.unitsDirectory, 'gwe.service');
}

/** What enables the unit. */
export function unitLink(layout: Layout): string {
  return join(layout.unitsDirectory, 'multi-user.target.wants', 'gwe.service');
}

/** The files of a platform on this machine: its executable, its unit, and what enables the unit. */
export function platformService(layout: Layout): { executable: string; unit: string; link: string } {
  const name = 'gwe-platform.service';
  return {
    executable: join(layout.root, 'opt/gwe/platform/gwe'),
    unit: join(layout.unitsDirectory, name),
    link: join(layout.unitsDirectory, 'multi-user.target.wants', name),
  };
}

/** Where the original Gateway Engine, in Python, has its files: beside its package, or in etc/exosite/gwe. */
interface OriginalPlaces {
  configDirectories: string[];
  /** In them pythonX.Y/{site,dist}-packages. */
  libraries: string[];
  executables: string[];
  /** What was found in place of gwe's own files. */
  kept: string;
}

export function originalPlaces({ root, stateDirectory, launcher }: Layout): OriginalPlaces {
  const at = (path: string): string => join(root, path);
  return {
    configDirectories: ['etc/exosite/gwe', 'usr/local/etc/exosite/gwe', 'usr/etc/exosite/gwe'].map(at),
    libraries: ['usr/lib', 'usr/local/lib', 'opt/lib', 'opt/local/lib'].map(at),
    executables: [launcher, at('usr/bin/gwe'), at('opt/bin/gwe')],
    kept: join(stateDirectory, 'original'),
  };
}
