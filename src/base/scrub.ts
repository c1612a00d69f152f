/**
 * gwe has its own settings: what the environment says to the runtime inside it is meant for other programs. The
 * runtime has read these variables before the first line of gwe runs, so gwe starts itself again without them.
 * NODE_OPTIONS runs code where the runtime heeds it (armv7l), NODE_DEBUG prints keys, OPENSSL_CONF loads libraries,
 * and the others change whom TLS trusts or write files.
 */
export const HEEDED_BY_RUNTIME: readonly string[] = [
  'NODE_OPTIONS',
  'NODE_PATH',
  'NODE_DEBUG',
  'NODE_DEBUG_NATIVE',
  'NODE_EXTRA_CA_CERTS',
  'NODE_TLS_REJECT_UNAUTHORIZED',
  'NODE_USE_SYSTEM_CA',
  'NODE_USE_ENV_PROXY',
  'NODE_V8_COVERAGE',
  'NODE_COMPILE_CACHE',
  'NODE_REDIRECT_WARNINGS',
  'NODE_ICU_DATA',
  'NODE_CHANNEL_FD',
  'OPENSSL_CONF',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
];

/**
 * These take effect only when the runtime reaches what they are about, and not at all once they are removed: it looks
 * for NODE_TLS_REJECT_UNAUTHORIZED at each connection and for modules of NODE_PATH never in an executable; SSL_CERT_*
 * count with an option that only other variables of the list could set.
 */
const INERT_WHEN_GONE: readonly string[] = [
  'NODE_PATH',
  'NODE_TLS_REJECT_UNAUTHORIZED',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
];

/** Its file is read when certificates are first wanted; its name has been kept since the start. */
const OF_CERTIFICATES = 'NODE_EXTRA_CA_CERTS';

/** What neither speaks to anybody nor starts a program. Alone on the line: beside others they may be only a part. */
const WITHOUT_CERTIFICATES: readonly string[] = ['--version', '-v', '--help', '-h', 'man'];

/** The variables of `env` that a gwe with the arguments `args` need only remove. */
export function inertVariables(
  env: Readonly<Record<string, string | undefined>>,
  args: readonly string[],
): string[] {
  const [first = ''] = args;
  const isWithout = args.length === 1 && WITHOUT_CERTIFICATES.includes(first);
  const names = isWithout ? [...INERT_WHEN_GONE, OF_CERTIFICATES] : INERT_WHEN_GONE;
  return names.filter((name) => env[name] !== undefined);
}

/** The variables of `env` that would change what the runtime does; an empty one says nothing. */
export function foreignVariables(env: Readonly<Record<string, string | undefined>>): string[] {
  return Object.keys(env).filter((name) => HEEDED_BY_RUNTIME.includes(name) && env[name] !== '');
}

/** How a process that many are connected to over TLS asks the system for memory: the C library reads this at its start. */
const OF_SERVER: Readonly<Record<string, string>> = {
  // The runtime reserves 64 KiB for each TLS connection and uses a page of them: those come as pages of their own, of
  // which the system gives only the used one, instead of out of memory that something else has used before.
  MALLOC_MMAP_THRESHOLD_: '65536',
  MALLOC_TOP_PAD_: '0',
};

/** What the environment `env` lacks for `gwe platform serve`; nothing for any other command, or where somebody has set such things. */
export function memoryVariables(
  env: Readonly<Record<string, string | undefined>>,
  args: readonly string[],
): Readonly<Record<string, string>> {
  const isServer = args[0] === 'platform' && args[1] === 'serve';
  const isSet = Object.keys(env).some((name) => name.startsWith('MALLOC_') || name === 'GLIBC_TUNABLES');
  return isServer && !isSet ? OF_SERVER : {};
}
