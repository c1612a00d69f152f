/** Engine.config as one table: key, type, default, range, and the sentence that README and --help show. */
import { parseWindows } from '../base/time/windows.ts';
import { LIMIT_SETTINGS } from './limit-settings.ts';
import { REPORT_SETTINGS } from './report-settings.ts';
import type { SettingSpec } from './setting.ts';
import { SUPERVISOR_SETTINGS } from './supervisor-settings.ts';
import { TRUST_SETTINGS } from './trust-settings.ts';

/** One year: a gateway that checks in less often than that is lost. */
const LONGEST_INTERVAL_S = 31_536_000;
const DEFAULT_UPDATE_INTERVAL_S = 14_400;
const DEFAULT_MAX_INTERVAL_S = 86_400;

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
  maxIntervalS: {
    key: 'max_interval',
    type: 'whole',
    default: DEFAULT_MAX_INTERVAL_S,
    min: 1,
    max: LONGEST_INTERVAL_S,
    help: 'longest interval that is accepted from the platform, in seconds; one set on the gateway may be longer',
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
    help: 'seconds of one long poll; set less if something on the way ends silent connections sooner',
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
    expected: 'one line',
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
    help: 'attempts at one call to supervisord',
  },
  platformUrl: {
    key: 'platform_url',
    type: 'text',
    expected: 'URL (http, https)',
    default: '',
    help: 'URL of the platform; empty: https://PRODUCT.m2.exosite.io',
  },
  releaseUrl: {
    key: 'release_url',
    type: 'text',
    expected: 'URL (http, https)',
    default: '',
    help: 'URL that the release areas of --download-latest are below',
  },
  insecureHttp: {
    key: 'insecure_http',
    type: 'boolean',
    default: false,
    help: 'allow plain http to hosts other than this one',
  },
  followContentRedirects: {
    key: 'follow_content_redirects',
    type: 'boolean',
    default: false,
    help: 'follow redirects of content whose digest or signature is known; the key is not sent along',
  },
  activationStyle: {
    key: 'activation_style',
    type: 'choice',
    default: 'triple',
    choices: ['triple', 'id'],
    help: 'what activation sends: vendor, model and serial, or the identity alone (Device2)',
  },
  cikGroup: {
    key: 'cik_group',
    type: 'text',
    expected: 'group of /etc/group',
    default: '',
    help: 'group that reads Gateway.cfg, for apps that run as another user and ask gwe --gateway-cik; empty: none',
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
    expected: 'path',
    default: '',
    help: 'PEM file of certificates trusted besides the built-in ones',
  },
  clientCertFile: {
    key: 'client_cert',
    type: 'text',
    expected: 'path',
    default: '',
    help: 'PEM file of the TLS client certificate',
  },
  clientKeyFile: {
    key: 'client_key',
    type: 'text',
    expected: 'path',
    default: '',
    help: 'PEM file of its private key',
  },
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
    help: 'format of log lines',
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
    expected: 'user of /etc/passwd',
    protects: true,
    default: '',
    help: 'user that install.sh and health.sh run as; empty: the user of gwe, usually root',
  },
  programsAs: {
    key: 'programs_as',
    type: 'text',
    expected: 'user of /etc/passwd',
    protects: true,
    default: '',
    help: 'default user for programs that set none; once set, a program may run as root only if a key with powers: root signed it; empty: same as run_as',
  },
  limitCpuS: {
    key: 'limit_cpu',
    type: 'whole',
    protects: true,
    default: 0,
    min: 0,
    max: 86_400,
    help: 'seconds of CPU time for each process of install.sh and health.sh; 0: no limit',
  },
  limitMemoryBytes: {
    key: 'limit_memory',
    type: 'whole',
    protects: true,
    default: 0,
    min: 0,
    max: 1024 * 1024 * MIB,
    help: 'bytes of address space for each of these processes; 0: no limit',
  },
  limitProcesses: {
    key: 'limit_processes',
    type: 'whole',
    protects: true,
    default: 0,
    min: 0,
    max: 4_194_304,
    help: 'processes that run_as may have at once, including others of the same user; 0: no limit',
  },
  limitFileBytes: {
    key: 'limit_file_size',
    type: 'whole',
    protects: true,
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
    help: 'seconds that a program may take to be RUNNING, not counting the settle time',
  },
  healthTimeoutS: {
    key: 'health_timeout',
    type: 'whole',
    default: 60,
    min: 1,
    max: 3600,
    help: 'seconds that health.sh may take',
  },
  ...SUPERVISOR_SETTINGS,
  ...LIMIT_SETTINGS,
  rateLimit: {
    key: 'rate_limit',
    type: 'whole',
    default: 0,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    help: 'bytes a second at which content is fetched at most; 0: as fast as it comes',
  },
  updateWindow: {
    key: 'update_window',
    type: 'text',
    protects: true,
    default: '',
    expected: 'days, times and a zone',
    problemOf: (text: string) => {
      const parsed = parseWindows(text);
      return 'problem' in parsed ? parsed.problem : undefined;
    },
    help: "when updates that the platform asks for are installed, as 'Sat,Sun 01:00-05:00 local'; they are fetched before; empty: always",
  },
  budgetMonthBytes: {
    key: 'budget_month',
    type: 'whole',
    default: 0,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    help: 'bytes that gwe may use in a month, sent and received together; 0: no limit',
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
    expected: 'path',
    default: '',
    help: 'file for the metrics of each check-in in Prometheus text format; empty: none',
  },
  ...REPORT_SETTINGS,
  deltaFullAbove: {
    key: 'delta_full_above',
    type: 'whole',
    default: 90,
    min: 0,
    max: 100,
    help: 'percent of a tarball: if more than that is missing on the gateway, it is fetched whole',
  },
  deltaFallback: {
    key: 'delta_fallback',
    type: 'text',
    default: 'full',
    pattern: /^(full|full-below \d{1,15}|fail)$/,
    expected: "'full', 'full-below BYTES' or 'fail'",
    help: 'whether an update may be fetched whole when it cannot be fetched in parts: full, full-below BYTES, fail',
  },
  ...TRUST_SETTINGS,
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
    help: 'seconds after an update in which a crash loop still causes a rollback',
  },
  maxDeferralS: {
    key: 'max_deferral',
    type: 'whole',
    default: 3600,
    min: 0,
    max: 604_800,
    help: 'seconds that an app may postpone an update with a lease',
  },
  selfUpdateDeadlineS: {
    key: 'self_update_deadline',
    type: 'whole',
    default: 600,
    min: 5,
    max: 86_400,
    help: 'seconds that a new gwe has for its first check-in',
  },
  keepVersions: {
    key: 'keep_versions',
    type: 'whole',
    default: 2,
    min: 2,
    max: 100,
    help: 'versions of an app that are kept, including the active and the previous one',
  },
  idleHandover: {
    key: 'idle_handover',
    type: 'choice',
    default: 'auto',
    choices: ['auto', 'off'],
    help: 'auto: between check-ins gwe sleeps as a small shell process (under 1 MB), where its runtime supports it',
  },
  idleThresholdS: {
    key: 'idle_threshold',
    type: 'whole',
    default: 30,
    min: 0,
    max: LONGEST_INTERVAL_S,
    help: 'go to sleep only if the next check-in is at least this many seconds away',
  },
  setClock: {
    key: 'set_clock',
    type: 'choice',
    default: 'auto',
    choices: ['auto', 'off'],
    help: 'auto: gwe, as root, sets the clock forward if it shows a time before gwe was built',
  },
} as const satisfies Record<string, SettingSpec>;

/** A choice keeps its words; anything else is as wide as its type. */
type ValueOf<Spec extends SettingSpec> = Spec extends { choices: readonly (infer Choice)[] }
  ? Choice
  : Widen<Spec['default']>;
type Widen<T> = T extends number ? number : T extends boolean ? boolean : string;

/** The typed settings: one field for each row of the table. */
export type EngineSettings = {
  -readonly [Name in keyof typeof ENGINE_SETTINGS]: ValueOf<(typeof ENGINE_SETTINGS)[Name]>;
};

/** The settings as they are in force, and one sentence for each that protects and cannot be read. */
export type LoadedSettings = EngineSettings & { readonly unreadable?: readonly string[] };
