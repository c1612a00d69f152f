/**
 * Every file that gwe keeps on a gateway, and what becomes of it where it is damaged: emptied, full of NULs, cut
 * short, overwritten, gone, or a directory. Whatever it is, gwe goes on and the next update works. One that the disk
 * does not give for now (EIO) is not damaged: the copy counts meanwhile, and it is moved aside, not replaced, where
 * it has to be written.
 */
import { join } from 'node:path';
import { listDirectory } from '../base/fs.ts';
import { type Layout, startCountFile } from './layout.ts';

/** What becomes of a damaged file. */
export const DAMAGE_RULES = {
  edited:
    'people edit it: its last good copy is restored if the file is empty, holds NULs or is the beginning of the copy; anything else is taken as intended',
  copied: 'its last good copy, which has a checksum, takes its place',
  highest:
    'the higher of the file and its copy is used; if neither can be read, nothing is installed, but for what the row says',
  rebuilt: 'it is rebuilt from the rest of the disk',
  'set-aside': 'it is kept as NAME.unreadable and reported; an older one is never used',
  'thrown-away': 'it is treated as missing: what it said is requested, measured or fetched again',
} as const;
type DamageRule = keyof typeof DAMAGE_RULES;

export interface StateFile {
  /** Below the root; `*` stands for any name. */
  name: string;
  rule: DamageRule;
  /** What follows for the gateway. */
  effect: string;
  /** Those that are there. */
  files(layout: Layout): readonly string[];
}

const one =
  (path: (layout: Layout) => string) =>
  (layout: Layout): readonly string[] => [path(layout)];

const each =
  (directory: (layout: Layout) => string, suffix = '') =>
  (layout: Layout): readonly string[] =>
    listDirectory(directory(layout))
      .filter((name) => name.endsWith(suffix) && !name.startsWith('.'))
      .map((name) => join(directory(layout), name));

export const STATE_FILES: readonly StateFile[] = [
  {
    name: 'etc/gwe/Gateway.cfg',
    rule: 'edited',
    effect: 'identity and key stay; a new key or identity replaces both copies',
    files: one((layout) => layout.gatewayConfig),
  },
  {
    name: 'etc/gwe/Engine.config',
    rule: 'edited',
    effect: 'the settings stay',
    files: one((layout) => layout.engineConfig),
  },
  {
    name: 'etc/gwe/keys.d/*.pub',
    rule: 'edited',
    effect: 'the key stays trusted; a missing one was revoked',
    files: each((layout) => layout.keysDirectory, '.pub'),
  },
  {
    name: 'etc/gwe/keys.d/*.retired',
    rule: 'edited',
    effect: 'the key still vouches for rollbacks; a missing one was revoked',
    files: each((layout) => layout.keysDirectory, '.retired'),
  },
  {
    name: 'etc/supervisor/conf.d/*.conf',
    rule: 'rebuilt',
    effect: 'the torn entry of an active version is written again; a missing one was removed',
    files: each((layout) => layout.programsDirectory, '.conf'),
  },
  {
    name: 'var/lib/gwe/installed.json',
    rule: 'rebuilt',
    effect: 'from the versions, their manifests, the links to them, the history and the copy',
    files: one((layout) => layout.installed),
  },
  {
    name: 'var/lib/gwe/device-keys.json',
    rule: 'copied',
    effect: 'keys of former identities stay; without either, the key belongs to the configured identity',
    files: one((layout) => layout.deviceKeys),
  },
  {
    name: 'var/lib/gwe/versions.json',
    rule: 'rebuilt',
    effect: 'a version of an app is recognized by its name and its files',
    files: one((layout) => layout.versionList),
  },
  {
    name: 'var/lib/gwe/history.json',
    rule: 'copied',
    effect: 'at worst the list of past updates starts empty',
    files: one((layout) => layout.history),
  },
  {
    name: 'var/lib/gwe/releases.json',
    rule: 'highest',
    effect: 'no release seen so far is forgotten',
    files: one((layout) => layout.releases),
  },
  {
    name: 'var/lib/gwe/key-decisions.json',
    rule: 'highest',
    effect: 'no key that was removed here is trusted again',
    files: one((layout) => layout.keyDecisions),
  },
  {
    name: 'var/lib/gwe/release-list.json',
    rule: 'highest',
    effect:
      'the newest release list stays; without either, it is fetched again, and none below it is accepted',
    files: one((layout) => layout.releaseList),
  },
  {
    name: 'var/lib/gwe/command-counters.json',
    rule: 'highest',
    effect:
      'no signed command is carried out again; without either, only those are whose time ends within a day',
    files: one((layout) => layout.commandCounters),
  },
  {
    name: 'var/lib/gwe/clock.json',
    rule: 'highest',
    effect: 'time does not go back; without either, the floor is the time of the build',
    files: one((layout) => layout.clock),
  },
  {
    name: 'var/lib/gwe/traffic.json',
    rule: 'highest',
    effect: 'bytes of this month stay counted; without either they start at 0',
    files: one((layout) => layout.traffic),
  },
  {
    name: 'var/lib/gwe/journal.json',
    rule: 'set-aside',
    effect: 'an update that was under way is forgotten, and reported as failed',
    files: one((layout) => layout.journal),
  },
  {
    name: 'var/lib/gwe/command.json',
    rule: 'set-aside',
    effect: 'the rest of the command is forgotten, and reported as failed',
    files: one((layout) => layout.command),
  },
  {
    name: 'var/lib/gwe/outbox/*.json',
    rule: 'thrown-away',
    effect: 'this report is not sent; those after it are',
    files: each((layout) => layout.outboxDirectory, '.json'),
  },
  {
    name: 'var/lib/gwe/outbox/failures.slots',
    rule: 'rebuilt',
    effect: 'each slot has a checksum: the intact ones stay',
    files: each((layout) => layout.outboxDirectory, '.slots'),
  },
  {
    name: 'var/lib/gwe/watch.json',
    rule: 'thrown-away',
    effect: 'an accepted update is not watched any longer',
    files: one((layout) => layout.watches),
  },
  {
    name: 'var/lib/gwe/parked.json',
    rule: 'copied',
    effect: 'without either, what waits for its time is fetched again',
    files: one((layout) => layout.parked),
  },
  {
    name: 'var/lib/gwe/chunks.idx',
    rule: 'rebuilt',
    effect: 'from the versions, at the next update',
    files: one((layout) => layout.chunkIndex),
  },
  {
    name: 'var/lib/gwe/ballast',
    rule: 'rebuilt',
    effect: 'its space is reserved again',
    files: one((layout) => layout.ballast),
  },
  {
    name: 'var/lib/gwe/confirmed',
    rule: 'rebuilt',
    effect: 'the next good check-in writes it again',
    files: one((layout) => layout.confirmedStart),
  },
  {
    name: 'var/lib/gwe/previous.sha256',
    rule: 'rebuilt',
    effect: 'the launcher restores the previous version without comparing, until the next update of gwe',
    files: one((layout) => layout.previousDigest),
  },
  {
    name: 'var/lib/gwe/starts',
    rule: 'thrown-away',
    effect: 'a new gwe has its three starts again',
    files: one((layout) => startCountFile(layout, false)),
  },
  {
    name: 'var/lib/gwe/downloads/*',
    rule: 'thrown-away',
    effect: 'what was fetched is compared with its digest, and fetched again',
    files: each((layout) => layout.downloadsDirectory),
  },
  {
    name: 'var/lib/gwe/scripts/*',
    rule: 'thrown-away',
    effect: 'an unreadable status is ignored; leftovers are removed',
    files: each((layout) => layout.scriptsDirectory),
  },
  {
    name: 'var/lib/gwe/logs/*.log',
    rule: 'thrown-away',
    effect: 'what that update printed cannot be shown',
    files: each((layout) => layout.updateLogsDirectory, '.log'),
  },
  ...[
    'status.json',
    'reports.json',
    'delivery.json',
    'restarts.json',
    'traffic.json',
    'budget-wait.json',
    'budget-look.json',
    'release-look.json',
    'tls-ticket',
  ].map(
    (name): StateFile => ({
      name: `run/gwe/${name}`,
      rule: 'thrown-away',
      effect: 'as after a reboot',
      files: one((layout) => join(layout.runDirectory, name)),
    }),
  ),
  ...['agent.lock', 'transaction.lock', 'handover.json', 'wake', 'cancel', 'starts'].map(
    (name): StateFile => ({
      name: `run/gwe/${name}`,
      rule: 'thrown-away',
      effect: 'it names no living process',
      files: one((layout) => join(layout.runDirectory, name)),
    }),
  ),
  {
    name: 'run/gwe/leases/*.json',
    rule: 'thrown-away',
    effect: 'it holds no update back',
    files: each((layout) => layout.leasesDirectory, '.json'),
  },
  {
    name: 'run/gwe/traffic.d/*.json',
    rule: 'thrown-away',
    effect: 'what another process has sent is not counted',
    files: each((layout) => layout.trafficSlipsDirectory, '.json'),
  },
];
