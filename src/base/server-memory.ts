/** How a process that many are connected to over TLS asks the system for memory. */

/** The C library reads these at its start. */
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
