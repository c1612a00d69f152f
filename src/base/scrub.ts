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

/** The variables of `env` that would change what the runtime does; an empty one says nothing. */
export function foreignVariables(env: Readonly<Record<string, string | undefined>>): string[] {
  return Object.keys(env).filter((name) => HEEDED_BY_RUNTIME.includes(name) && env[name] !== '');
}
