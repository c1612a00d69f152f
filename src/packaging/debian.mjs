/** Installs what npm cannot bring from Debian's packages, or says in a sentence what is missing. */
import * as fs from 'node:fs';
import { delimiter, join } from 'node:path';
import { run, say, TARGETS } from './project.mjs';

/** Is there such a command, or (with a slash in it) such a file? */
function isThere(probe) {
  if (probe.includes('/')) return fs.existsSync(probe);
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => folder !== '' && fs.existsSync(join(folder, probe)));
}

/**
 * What each purpose needs: a probe that tells whether it is there, and the Debian package that brings it.
 * @param {string} target the executable's target, for the purposes that have one
 */
export function strippingNeeds(target, isHost) {
  if (isHost) return [{ probe: 'strip', package: 'binutils' }];
  const { triplet, stripPackage } = TARGETS[target];
  return [{ probe: `${triplet}-strip`, package: stripPackage }];
}

export function emulationNeeds(target, isHost) {
  if (isHost) return [];
  const { emulator, triplet, runPackages } = TARGETS[target];
  const libraries = {
    'libc6-': 'libc.so.6',
    'libstdc++6-': 'libstdc++.so.6',
    'libatomic1-': 'libatomic.so.1',
  };
  const probeOf = (name) => Object.entries(libraries).find(([prefix]) => name.startsWith(prefix))?.[1];
  return [
    { probe: emulator, package: 'qemu-user-static' },
    ...runPackages.map((name) => ({ probe: `/usr/${triplet}/lib/${probeOf(name)}`, package: name })),
  ];
}

export const SUPERVISOR_NEEDS = [
  { probe: 'supervisord', package: 'supervisor' },
  { probe: 'python3', package: 'python3' },
  // The shell of many gateways: launcher and install.sh are tried with it.
  { probe: 'busybox', package: 'busybox' },
];

/** Its library gives a process a wall clock of its own. */
export const FAKETIME_NEEDS = [{ probe: 'faketime', package: 'faketime' }];

/** bsdtar unpacks what gwe packs; GNU tar, Python and busybox are there already. */
export const READER_NEEDS = [{ probe: 'bsdtar', package: 'libarchive-tools' }];

/** Shells whose completion is driven, beside bash, and what renders the manual pages. */
export const SHELL_NEEDS = [
  { probe: 'zsh', package: 'zsh' },
  { probe: 'fish', package: 'fish' },
  // A terminal of any size, whose screen can be read.
  { probe: 'tmux', package: 'tmux' },
  { probe: 'groff', package: 'groff-base' },
];

/** A SOCKS5 proxy, to be gone through. */
export const PROXY_NEEDS = [{ probe: 'microsocks', package: 'microsocks' }];

/** What gwe is measured against. */
export const PEER_NEEDS = ['curl', 'zsync', 'casync', 'bsdiff', 'xdelta3', 'zstd', 'rsync'].map((name) => ({
  probe: name,
  package: name,
}));

/** Update agents of other people, each with what it takes to make an artifact of its own kind. */
export const AGENT_NEEDS = [
  { probe: 'swupdate', package: 'swupdate' },
  { probe: 'mender', package: 'mender-client' },
  { probe: 'mender-artifact', package: 'mender-artifact' },
  { probe: 'rauc', package: 'rauc' },
  { probe: 'dbus-daemon', package: 'dbus' },
  { probe: 'mksquashfs', package: 'squashfs-tools' },
];

/** A database server of the tests' own: they start it, and it ends with them. */
export const DATABASE_NEEDS = [{ probe: 'pg_ctlcluster', package: 'postgresql' }];

/** An S3 store of the tests' own: OpenStack Swift on one node, and what it keeps its sessions in. */
export const OBJECTS_NEEDS = [
  ...['proxy', 'account', 'container', 'object'].map((name) => ({
    probe: `swift-${name}-server`,
    package: `swift-${name}`,
  })),
  { probe: 'memcached', package: 'memcached' },
];

/** The web console is tried in a browser. */
export const BROWSER_NEEDS = [{ probe: 'chromium', package: 'chromium' }];

/** What reads the alerts that a platform comes with. */
export const ALERT_NEEDS = [{ probe: 'promtool', package: 'prometheus' }];

/** What plays gateways in the bench of a fleet, and a server to be measured beside. */
export const LOAD_NEEDS = [
  { probe: 'gcc', package: 'gcc' },
  { probe: '/usr/include/openssl/ssl.h', package: 'libssl-dev' },
  { probe: 'nginx', package: 'nginx-light' },
  { probe: 'curl', package: 'curl' },
];

/** The fault tests preload a small C library into gwe. */
export const COMPILER_NEEDS = [
  { probe: 'gcc', package: 'gcc' },
  { probe: '/usr/include/stdio.h', package: 'libc6-dev' },
];

/** Installs the packages of `needs` whose probe finds nothing. Throws a sentence when it may not or cannot. */
export function ensureInstalled(needs, purpose) {
  const missing = needs.filter((need) => !isThere(need.probe)).map((need) => need.package);
  if (missing.length === 0) return;
  const command = `apt-get install ${[...new Set(missing)].join(' ')}`;
  if (process.getuid?.() !== 0 || !isThere('apt-get')) {
    throw new Error(
      `${purpose} needs ${missing.join(', ')}: install it (Debian: as root, '${command}') and run this again`,
    );
  }
  say(`${purpose} needs ${missing.join(', ')}: installing it with apt-get`);
  withoutStartingServices(() => install(missing));
  for (const service of Object.keys(SERVICES)) if (missing.includes(service)) keepDown(service);
  const still = needs.filter((need) => !isThere(need.probe));
  if (still.length > 0) throw new Error(`'${command}' did not bring ${still.map((n) => n.probe).join(', ')}`);
}

function install(packages) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', ['update', '-qq'], { env });
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], { env });
}

/** Debian starts a service when it installs it, unless policy-rc.d forbids it; one that is there already is left alone. */
function withoutStartingServices(action) {
  const policy = '/usr/sbin/policy-rc.d';
  const isOurs = !fs.existsSync(policy);
  if (isOurs) fs.writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    action();
  } finally {
    if (isOurs) fs.rmSync(policy, { force: true });
  }
}

/** What each package of Swift has beside the server itself. */
const SWIFT_SERVICES = {
  proxy: [],
  account: ['-auditor', '-reaper', '-replicator'],
  container: ['-auditor', '-reconciler', '-replicator', '-sharder', '-sync', '-updater'],
  object: ['-auditor', '-reconstructor', '-replicator', '-updater'],
};

/** Packages that would have a system service run at every boot, and what keeps it from that. */
const SERVICES = {
  supervisor: [['update-rc.d', 'supervisor', 'disable']],
  postgresql: [['update-rc.d', 'postgresql', 'disable']],
  'nginx-light': [['update-rc.d', 'nginx', 'disable']],
  prometheus: [['update-rc.d', 'prometheus', 'disable']],
  memcached: [['update-rc.d', 'memcached', 'disable']],
  ...Object.fromEntries(
    Object.entries(SWIFT_SERVICES).map(([part, suffixes]) => [
      `swift-${part}`,
      ['', ...suffixes].map((suffix) => ['update-rc.d', `swift-${part}${suffix}`, 'disable']),
    ]),
  ),
  swupdate: [
    ['update-rc.d', 'swupdate', 'disable'],
    ['systemctl', '--quiet', 'disable', 'swupdate.socket', 'swupdate-progress.service'],
  ],
  'mender-client': [['systemctl', '--quiet', 'disable', 'mender-client.service']],
};

/** Tests and measurements start what they need; this machine did not ask for one at every boot. */
function keepDown(service) {
  try {
    for (const [program, ...args] of SERVICES[service]) run(program, args);
    const [enable] = SERVICES[service].map((words) => words.join(' ').replace('disable', 'enable'));
    say(
      `the ${service} package was installed; its system service was neither started nor enabled ('${enable}' enables it)`,
    );
  } catch {
    say(
      `the ${service} package was installed and not started; its system service may start at the next boot`,
    );
  }
}
