/** Engine.config as one table: key, type, default, range, and the sentence that README and --help show. */

export type SettingValue = string | number | boolean;

export interface SettingSpec {
  key: string;
  type: 'whole' | 'text' | 'choice' | 'boolean';
  default: SettingValue;
  min?: number;
  max?: number;
  choices?: readonly string[];
  /** What a text must match, and how to say it. */
  pattern?: RegExp;
  expected?: string;
  help: string;
}

/** One year: a gateway that checks in less often than that is lost. */
export const LONGEST_INTERVAL_S = 31_536_000;
export const DEFAULT_UPDATE_INTERVAL_S = 14_400;

const MIB = 1024 * 1024;

export const ENGINE_SETTINGS = {
  updateIntervalS: {
    key: 'update_interval',
    type: 'whole',
    default: DEFAULT_UPDATE_INTERVAL_S,
    min: 1,
    max: LONGEST_INTERVAL_S,
    help: 'seconds between check-ins (14400 is 4 h)',
  },
  longPoll: {
    key: 'long_poll',
    type: 'boolean',
    default: false,
    help: 'wait for commands in long polls between check-ins: one is carried out as soon as it is written',
  },
  longPollTimeoutS: {
    key: 'long_poll_timeout',
    type: 'whole',
    default: 300,
    min: 10,
    max: 300,
    help: 'seconds of one long poll; less where something on the way ends silent connections sooner',
  },
  activationRetryS: {
    key: 'act_retry_interval',
    type: 'whole',
    default: 60,
    min: 1,
    max: LONGEST_INTERVAL_S,
    help: 'seconds between attempts to activate',
  },
  userAgent: {
    key: 'user_agent',
    type: 'text',
    default: '',
    help: 'User-Agent header; empty: GatewayEngine-vVERSION',
  },
  debugLevel: {
    key: 'debug_level',
    type: 'choice',
    default: 'INFO',
    choices: ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'],
    help: 'log level',
  },
  maxSupervisorRpcAttempts: {
    key: 'max_supervisor_rpc_attempts',
    type: 'whole',
    default: 5,
    min: 1,
    max: 100,
    help: 'tries of one call to supervisord',
  },
  platformUrl: {
    key: 'platform_url',
    type: 'text',
    default: '',
    help: 'URL of the platform; empty: https://PRODUCT.m2.exosite.io',
  },
  releaseUrl: {
    key: 'release_url',
    type: 'text',
    default: '',
    help: 'URL above the release areas of --download-latest',
  },
  insecureHttp: {
    key: 'insecure_http',
    type: 'boolean',
    default: false,
    help: 'allow plain http to other hosts than this one',
  },
  activationStyle: {
    key: 'activation_style',
    type: 'choice',
    default: 'triple',
    choices: ['triple', 'id'],
    help: 'what activation sends: vendor, model and serial, or the identity alone (Device2)',
  },
  httpTimeoutS: {
    key: 'http_timeout',
    type: 'whole',
    default: 30,
    min: 1,
    max: 3600,
    help: 'seconds without a byte after which a connection is given up',
  },
  caFile: {
    key: 'ca_file',
    type: 'text',
    default: '',
    help: 'PEM file of certificates trusted besides the built-in ones',
  },
  clientCertFile: {
    key: 'client_cert',
    type: 'text',
    default: '',
    help: 'PEM file of the TLS client certificate',
  },
  clientKeyFile: { key: 'client_key', type: 'text', default: '', help: 'PEM file of its private key' },
  fetchStatusFormat: {
    key: 'fetch_status_format',
    type: 'choice',
    default: 'json',
    choices: ['json', 'text'],
    help: 'what is written to fetch_status: a JSON summary, or the output of install.sh alone',
  },
  logFormat: {
    key: 'log_format',
    type: 'choice',
    default: 'text',
    choices: ['text', 'json'],
    help: 'form of log lines',
  },
  installTimeoutS: {
    key: 'install_timeout',
    type: 'whole',
    default: 3600,
    min: 1,
    max: 86_400,
    help: 'seconds that install.sh may take',
  },
  runAs: {
    key: 'run_as',
    type: 'text',
    default: '',
    help: 'user that install.sh and health.sh run as; empty: the one that gwe has, root as a rule',
  },
  limitCpuS: {
    key: 'limit_cpu',
    type: 'whole',
    default: 0,
    min: 0,
    max: 86_400,
    help: 'seconds of CPU time for each process of install.sh and health.sh; 0: no limit',
  },
  limitMemoryBytes: {
    key: 'limit_memory',
    type: 'whole',
    default: 0,
    min: 0,
    max: 1024 * 1024 * MIB,
    help: 'bytes of address space for each of these processes; 0: no limit',
  },
  limitProcesses: {
    key: 'limit_processes',
    type: 'whole',
    default: 0,
    min: 0,
    max: 4_194_304,
    help: 'processes that run_as may have at once, others of the same user counted; 0: no limit',
  },
  limitFileBytes: {
    key: 'limit_file_size',
    type: 'whole',
    default: 0,
    min: 0,
    max: 1024 * 1024 * MIB,
    help: 'bytes of the largest file that these processes may write; 0: no limit',
  },
  settleTimeS: {
    key: 'settle_time',
    type: 'whole',
    default: 5,
    min: 0,
    max: 3600,
    help: 'seconds that a program must stay RUNNING to be kept',
  },
  startDeadlineS: {
    key: 'start_deadline',
    type: 'whole',
    default: 60,
    min: 1,
    max: 3600,
    help: 'seconds that a program may take to be RUNNING, the settle time not counted',
  },
  healthTimeoutS: {
    key: 'health_timeout',
    type: 'whole',
    default: 60,
    min: 1,
    max: 3600,
    help: 'seconds that health.sh may take',
  },
  supervisorSocket: {
    key: 'supervisor_socket',
    type: 'text',
    default: '',
    help: "path of supervisord's socket; empty: found by itself",
  },
  maxArtifactBytes: {
    key: 'max_artifact_bytes',
    type: 'whole',
    default: 1024 * MIB,
    min: 1024,
    max: Number.MAX_SAFE_INTEGER,
    help: 'largest tarball that is downloaded',
  },
  maxUnpackedBytes: {
    key: 'max_unpacked_bytes',
    type: 'whole',
    default: 4096 * MIB,
    min: 1024,
    max: Number.MAX_SAFE_INTEGER,
    help: 'largest total of the files in a tarball',
  },
  maxEntries: {
    key: 'max_entries',
    type: 'whole',
    default: 100_000,
    min: 1,
    max: 10_000_000,
    help: 'most files, directories and links in a tarball',
  },
  maxRatio: {
    key: 'max_ratio',
    type: 'whole',
    default: 200,
    min: 1,
    max: 1_000_000,
    help: 'most bytes that each byte of a tarball may unpack to, beyond 64 MiB',
  },
  maxPathBytes: {
    key: 'max_path_bytes',
    type: 'whole',
    default: 1024,
    min: 64,
    max: 4096,
    help: 'longest path in a tarball, and longest target of a link',
  },
  maxPathDepth: {
    key: 'max_path_depth',
    type: 'whole',
    default: 64,
    min: 1,
    max: 1024,
    help: 'most names in one path of a tarball',
  },
  maxPathsBytes: {
    key: 'max_paths_bytes',
    type: 'whole',
    default: 8 * MIB,
    min: 1024,
    max: 1024 * MIB,
    help: 'bytes of all paths of a tarball together (they are kept in memory)',
  },
  maxHeaderBytes: {
    key: 'max_header_bytes',
    type: 'whole',
    default: 64 * 1024,
    min: 4096,
    max: 16 * MIB,
    help: 'largest extended header of an entry, and largest list of signatures',
  },
  maxManifestBytes: {
    key: 'max_manifest_bytes',
    type: 'whole',
    default: 8 * MIB,
    min: 4096,
    max: 256 * MIB,
    help: 'largest manifest of a tarball (about 150 bytes an entry; it is kept in memory)',
  },
  maxReplyBytes: {
    key: 'max_reply_bytes',
    type: 'whole',
    default: 4 * MIB,
    min: 4096,
    max: 64 * MIB,
    help: 'largest answer of the platform that is not content',
  },
  budgetMonthBytes: {
    key: 'budget_month',
    type: 'whole',
    default: 0,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    help: 'bytes that gwe may use in a month, both ways together; 0: as many as it needs',
  },
  budgetReservePercent: {
    key: 'budget_reserve',
    type: 'whole',
    default: 20,
    min: 0,
    max: 90,
    help: 'percent of budget_month that only check-ins and urgent commands may use',
  },
  budgetStartDay: {
    key: 'budget_start_day',
    type: 'whole',
    default: 1,
    min: 1,
    max: 28,
    help: 'day on which the month of budget_month begins, in UTC',
  },
  metricsFile: {
    key: 'metrics_file',
    type: 'text',
    default: '',
    help: 'file for the metrics of each check-in in Prometheus text format; empty: none',
  },
  maxReportBytes: {
    key: 'max_report_bytes',
    type: 'whole',
    default: 60 * 1024,
    min: 4096,
    max: 60 * 1024,
    help: 'largest report: output beyond it is left out',
  },
  maxOutputBytes: {
    key: 'max_output_bytes',
    type: 'whole',
    default: 16 * 1024,
    min: 0,
    max: 64 * 1024,
    help: 'bytes kept of what install.sh prints: its beginning and its end',
  },
  progressIntervalS: {
    key: 'progress_interval',
    type: 'whole',
    default: 300,
    min: 0,
    max: 86_400,
    help: 'seconds between reports of how far an update is that takes long; 0: none',
  },
  deltaFullAbove: {
    key: 'delta_full_above',
    type: 'whole',
    default: 90,
    min: 0,
    max: 100,
    help: 'percent of a tarball: if more is missing on the gateway, it is fetched in one go',
  },
  deltaFallback: {
    key: 'delta_fallback',
    type: 'text',
    default: 'full',
    pattern: /^(full|full-below \d{1,15}|fail)$/,
    expected: "'full', 'full-below BYTES' or 'fail'",
    help: 'whether an update may be fetched whole when it cannot be fetched in parts: full, full-below BYTES, fail',
  },
  requireSignatures: {
    key: 'require_signatures',
    type: 'whole',
    default: 1,
    min: 1,
    max: 32,
    help: 'keys of keys.d that must have signed a tarball; without keys none',
  },
  diskReserveBytes: {
    key: 'disk_reserve_bytes',
    type: 'whole',
    default: 4 * MIB,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    help: 'bytes of the disk that an update leaves free',
  },
  watchWindowS: {
    key: 'watch_window',
    type: 'whole',
    default: 300,
    min: 0,
    max: 86_400,
    help: 'seconds after an update in which a crash loop still rolls back',
  },
  maxDeferralS: {
    key: 'max_deferral',
    type: 'whole',
    default: 3600,
    min: 0,
    max: 604_800,
    help: 'seconds that an app may put an update off by a lease',
  },
  selfUpdateDeadlineS: {
    key: 'self_update_deadline',
    type: 'whole',
    default: 600,
    min: 5,
    max: 86_400,
    help: 'seconds in which a new gwe has to come to a check-in',
  },
  keepVersions: {
    key: 'keep_versions',
    type: 'whole',
    default: 2,
    min: 2,
    max: 100,
    help: 'versions of an app that are kept, the active one and the one before included',
  },
  idleHandover: {
    key: 'idle_handover',
    type: 'choice',
    default: 'auto',
    choices: ['auto', 'off'],
    help: 'auto: between check-ins gwe lies in a shell asleep, under 1 MB, where its runtime can do that',
  },
  idleThresholdS: {
    key: 'idle_threshold',
    type: 'whole',
    default: 30,
    min: 0,
    max: LONGEST_INTERVAL_S,
    help: 'seconds that the next check-in must be away for that',
  },
  setClock: {
    key: 'set_clock',
    type: 'choice',
    default: 'auto',
    choices: ['auto', 'off'],
    help: 'auto: gwe, as root, sets a clock forward that shows a time before its own build',
  },
} as const satisfies Record<string, SettingSpec>;

type Widen<T> = T extends number ? number : T extends boolean ? boolean : string;

/** The typed settings: one field for each row of the table. */
export type EngineSettings = {
  -readonly [Name in keyof typeof ENGINE_SETTINGS]: Widen<(typeof ENGINE_SETTINGS)[Name]['default']>;
};

/** The text of an option as a value of its type, or a sentence that says what was expected. */
export function decodeSetting(
  spec: SettingSpec,
  text: string,
): { value: SettingValue } | { problem: string } {
  switch (spec.type) {
    case 'whole': {
      const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
      const [min, max] = [spec.min ?? 0, spec.max ?? Number.MAX_SAFE_INTEGER];
      if (value >= min && value <= max) return { value };
      return {
        problem: `${spec.key}: found '${text.slice(0, 60)}', expected a whole number from ${min} to ${max}`,
      };
    }
    case 'choice': {
      const value = spec.choices?.find((choice) => choice.toLowerCase() === text.toLowerCase());
      if (value !== undefined) return { value };
      return {
        problem: `${spec.key}: found '${text.slice(0, 60)}', expected one of ${spec.choices?.join(', ')}`,
      };
    }
    case 'boolean':
      if (/^(true|yes|on|1)$/i.test(text)) return { value: true };
      if (/^(false|no|off|0)$/i.test(text)) return { value: false };
      return { problem: `${spec.key}: found '${text.slice(0, 60)}', expected true or false` };
    case 'text':
      if (spec.pattern?.test(text) !== false) return { value: text };
      return { problem: `${spec.key}: found '${text.slice(0, 60)}', expected ${spec.expected}` };
  }
}
