/** The unit of systemd that serves a platform: a user of its own, and no more of the machine than it needs. Pure. */

const MARKER = '# written by gwe service install --platform; changes are lost at the next one';
/** Below /var/lib; systemd makes it, 0700, for a user that exists while the unit runs. */
const STATE = 'gwe-platform';
/** Beyond the time that requests under way are given at its end. */
const STOP_SLACK_S = 15;

interface PlatformUnit {
  executable: string;
  /** Options of `gwe platform serve`, with their values; no secret among them. */
  options: readonly (readonly [name: string, value?: string])[];
  /** Files that root alone may read: option -> path. The unit hands them over as credentials. */
  files: ReadonlyMap<string, string>;
  drainSeconds: number;
  /** It listens below 1024. */
  needsLowPort: boolean;
}

export function isPlatformUnit(text: string): boolean {
  return text.startsWith(`${MARKER}\n`);
}

export function renderPlatformUnit(unit: PlatformUnit): string {
  const words = [
    ...['platform', 'serve', '--data', `/var/lib/${STATE}`].map(quote),
    ...sealKey(unit),
    ...unit.options.flatMap(([name, value]) =>
      value === undefined ? [`--${name}`] : [`--${name}`, quote(value)],
    ),
    ...[...unit.files.keys()].flatMap((name) => [`--${name}`, `%d/${name}`]),
  ];
  return [
    MARKER,
    '[Unit]',
    'Description=gwe platform: device API, content and management',
    'After=network-online.target',
    'Wants=network-online.target',
    'StartLimitIntervalSec=0',
    '',
    '[Service]',
    `ExecStart=${[quote(unit.executable), ...words].join(' ')}`,
    'Restart=always',
    'RestartSec=5',
    `TimeoutStopSec=${unit.drainSeconds + STOP_SLACK_S}`,
    'LimitNOFILE=65536',
    ...[...unit.files].map(([name, path]) => `LoadCredential=${name}:${escapePercent(path)}`),
    'DynamicUser=yes',
    `StateDirectory=${STATE}`,
    'StateDirectoryMode=0700',
    'UMask=0077',
    ...hardening(unit.needsLowPort),
    '',
    '[Install]',
    'WantedBy=multi-user.target',
    '',
  ].join('\n');
}

/** What is handed over lies where nothing can be written: beside such a token no key could be made. */
function sealKey({ files }: PlatformUnit): string[] {
  const isMissing = files.has('token-file') && !files.has('seal-key-file');
  return isMissing ? ['--seal-key-file', `/var/lib/${STATE}/seal-key`] : [];
}

/** DynamicUser brings ProtectSystem=strict, PrivateTmp, RemoveIPC, NoNewPrivileges and RestrictSUIDSGID by itself. */
function hardening(needsLowPort: boolean): string[] {
  const power = needsLowPort ? 'CAP_NET_BIND_SERVICE' : '';
  return [
    `AmbientCapabilities=${power}`,
    `CapabilityBoundingSet=${power}`,
    'PrivateDevices=yes',
    // A user namespace has no power over ports of the machine.
    ...(needsLowPort ? [] : ['PrivateUsers=yes']),
    'ProtectHome=yes',
    'ProtectClock=yes',
    'ProtectControlGroups=yes',
    'ProtectHostname=yes',
    'ProtectKernelLogs=yes',
    'ProtectKernelModules=yes',
    'ProtectKernelTunables=yes',
    'ProtectProc=invisible',
    'RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX',
    'RestrictNamespaces=yes',
    'RestrictRealtime=yes',
    'LockPersonality=yes',
    'SystemCallArchitectures=native',
    'SystemCallFilter=@system-service',
    'SystemCallFilter=~@privileged @resources',
    // What the runtime tries at its start and can do without fails, and does not end it.
    'SystemCallErrorNumber=EPERM',
    // The runtime compiles what it runs: MemoryDenyWriteExecute would stop it.
  ];
}

/** One word of ExecStart (systemd.service(5), "Command lines"). */
function quote(word: string): string {
  const escaped = escapePercent(word).replaceAll('$', '$$$$');
  return /^[\w./:=@,+%$-]+$/.test(escaped)
    ? escaped
    : `"${escaped.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

function escapePercent(text: string): string {
  return text.replaceAll('%', '%%');
}
