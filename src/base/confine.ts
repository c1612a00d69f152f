/** Resource limits for a child, by the shell that every gateway has: setrlimit is out of a Node program's reach. */

/** 0 is no limit. */
interface ResourceLimits {
  cpuS: number;
  /** Limits the address space of each process. */
  memoryBytes: number;
  /** Limits the user as a whole; the kernel does not hold root to it. */
  processes: number;
  fileBytes: number;
}

/** A constant: values are arguments. dash and busybox call the limit of processes -p, bash calls it -u. */
const LIMIT_AND_EXEC = `
[ "$1" = 0 ] || ulimit -t "$1" || exit 126
[ "$2" = 0 ] || ulimit -v "$2" || exit 126
[ "$3" = 0 ] || ulimit -f "$3" || exit 126
[ "$4" = 0 ] || (ulimit -u "$4") 2>/dev/null && own=-u || own=-p
[ "$4" = 0 ] || ulimit "$own" "$4" || exit 126
shift 4
exec "$@"`;

/** `argv` under these limits: exit status 126, and the shell's message, where one cannot be set. */
export function confine(argv: readonly string[], limits: ResourceLimits): string[] {
  const values = [
    limits.cpuS,
    Math.ceil(limits.memoryBytes / 1024),
    // POSIX: in units of 512 bytes.
    Math.ceil(limits.fileBytes / 512),
    limits.processes,
  ];
  if (values.every((value) => value === 0)) return [...argv];
  return ['/bin/sh', '-c', LIMIT_AND_EXEC, 'sh', ...values.map(String), ...argv];
}
