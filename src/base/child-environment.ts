/** What a child of gwe gets to see of its environment. */

/**
 * These change what a Node program does, gwe included, or say that it is the program of supervisord that gwe is; a child
 * must not inherit them from our start-up.
 */
const SCRUBBED =
  /^(SUPERVISOR_(PROCESS|GROUP)_NAME$|NODE_|PKG_|LD_PRELOAD$|LD_LIBRARY_PATH$|LD_AUDIT$|BASH_ENV$|ENV$|GWE_)/;
const PROXY = /^(https?|all)_proxy$/i;
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** gwe's environment without what could change its children behind the author's back, plus `own`. */
export function childEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  own: Readonly<Record<string, string>>,
): Record<string, string> {
  const kept = Object.entries(env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !SCRUBBED.test(entry[0]),
  );
  const base = Object.fromEntries(kept);
  return { ...base, PATH: base.PATH ?? DEFAULT_PATH, HOME: base.HOME ?? '/root', ...own };
}

const PLAIN = /^(PATH|LANG|LC_[A-Z]+|TZ|(https?|all|no)_proxy)$/i;

/** Of `env` what every program may know: where programs are, language, time zone and proxies. */
export function plainEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => PLAIN.test(name)));
}

/**
 * `env` with proxies by host and port alone. The password of a proxy is gwe's: a script that prints its environment
 * would send it to the platform in a report.
 */
export function withoutProxyPasswords(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(env).map(([name, value]) => [name, PROXY.test(name) ? withoutLogin(value ?? '') : value]),
  );
}

/** The last `@` counts, as for who connects: passwords hold some that nobody encoded. */
function withoutLogin(value: string): string {
  const [, scheme = '', rest = ''] = /^([a-z][a-z0-9+.-]*:\/\/)?(.*)$/is.exec(value) ?? [];
  return scheme + rest.slice(rest.lastIndexOf('@') + 1);
}
