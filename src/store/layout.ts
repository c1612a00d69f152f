/** Every path that gwe uses on a gateway, once (design.md §3). All are below a root, `/` on a real gateway. */
import { join } from 'node:path';

export interface Layout {
  root: string;
  /** usr/local/bin/gwe: the executable as copied, later the launcher. */
  launcher: string;
  gatewayConfig: string;
  engineConfig: string;
  keysDirectory: string;
  stateDirectory: string;
  runDirectory: string;
  downloadsDirectory: string;
  /** Reports that wait to be sent: one file each. */
  outboxDirectory: string;
  /** What install.sh printed in the last updates: one file each. */
  updateLogsDirectory: string;
  appsDirectory: string;
  /** Where supervisord includes program entries from. */
  programsDirectory: string;
  logDirectory: string;
  /** etc/systemd/system: for gwe's own unit. */
  unitsDirectory: string;
  journal: string;
  installed: string;
  /** Room that is given up where a full disk would keep an update from ending. */
  ballast: string;
  /** The last time that was certain: the clock is never below it. */
  clock: string;
  /** Updates that have been accepted and are still watched. */
  watches: string;
  /** Where apps say "not now": one file each. */
  leasesDirectory: string;
  agentLock: string;
  /** What an agent that sleeps in a shell has to remember; there while it does. */
  handover: string;
  /** Somebody wants a check-in at once. */
  wakeMark: string;
  transactionLock: string;
}

export function createLayout(root: string): Layout {
  const at = (...parts: string[]): string => join(root, ...parts);
  return {
    root,
    launcher: at('usr/local/bin/gwe'),
    gatewayConfig: at('etc/gwe/Gateway.cfg'),
    engineConfig: at('etc/gwe/Engine.config'),
    keysDirectory: at('etc/gwe/keys.d'),
    stateDirectory: at('var/lib/gwe'),
    runDirectory: at('run/gwe'),
    downloadsDirectory: at('var/lib/gwe/downloads'),
    outboxDirectory: at('var/lib/gwe/outbox'),
    updateLogsDirectory: at('var/lib/gwe/logs'),
    appsDirectory: at('opt/gwe/apps'),
    programsDirectory: at('etc/supervisor/conf.d'),
    logDirectory: at('var/log'),
    unitsDirectory: at('etc/systemd/system'),
    journal: at('var/lib/gwe/journal.json'),
    installed: at('var/lib/gwe/installed.json'),
    ballast: at('var/lib/gwe/ballast'),
    clock: at('var/lib/gwe/clock.json'),
    watches: at('var/lib/gwe/watch.json'),
    leasesDirectory: at('run/gwe/leases'),
    agentLock: at('run/gwe/agent.lock'),
    handover: at('run/gwe/handover.json'),
    wakeMark: at('run/gwe/wake'),
    transactionLock: at('run/gwe/transaction.lock'),
  };
}

/** opt/gwe/apps/NAME: the versions of one app and the link `current`. */
export function appDirectory(layout: Layout, app: string): string {
  return join(layout.appsDirectory, app);
}

/** The name of a version's directory: the same version with other bytes gets another one. */
export function versionDirectoryName(version: string, digest: string): string {
  return `${version}-${digest.slice(0, 8)}`;
}

/** The version that a version's directory is of. */
export function versionOfDirectory(name: string): string {
  return name.replace(/-[0-9a-f]{8}$/, '');
}

export function versionDirectory(layout: Layout, app: string, version: string, digest: string): string {
  return join(appDirectory(layout, app), versionDirectoryName(version, digest));
}

export function currentLink(layout: Layout, app: string): string {
  return join(appDirectory(layout, app), 'current');
}

/** What the launcher goes back to; only gwe itself has one, the versions of other apps are in installed.json. */
export function previousLink(layout: Layout, app: string): string {
  return join(appDirectory(layout, app), 'previous');
}

/** etc/supervisor/conf.d/NAME.conf */
export function programFile(layout: Layout, app: string): string {
  return join(layout.programsDirectory, `${app}.conf`);
}

export function programLog(layout: Layout, app: string): string {
  return join(layout.logDirectory, `${app}.log`);
}
