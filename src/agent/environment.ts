/** What a child of gwe gets to see of its environment. */

/** These change what a Node program does, gwe included; a child must not inherit them from our start-up. */
const SCRUBBED = /^(NODE_|PKG_|LD_PRELOAD$|LD_LIBRARY_PATH$|LD_AUDIT$|BASH_ENV$|ENV$|GWE_)/;
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
