/** Becoming another program under the same pid. */
import { existsSync, readlinkSync } from 'node:fs';

type Environment = Readonly<Record<string, string | undefined>>;
type Execve = (file: string, args: readonly string[], env: Environment) => never;

/**
 * The runtime's execve, or `undefined` where it has none (before Node 24). `args` begin with the program's name. It
 * returns only by throwing. Signals that have a listener get their usual effect back at that moment.
 */
export function findExecve(): Execve | undefined {
  const { execve } = process as unknown as { execve?: Execve };
  return execve?.bind(process);
}

/** Goes to `/` where the working directory has been removed: a shell that starts in one complains at each start. */
export function leaveRemovedDirectory(): void {
  // Asks the kernel: the runtime caches the directory.
  if (!existsSync(readlinkSync('/proc/self/cwd'))) process.chdir('/');
}

/** The path of gwe as an executable of its own; `undefined` when a runtime runs it from its sources or its bundle. */
export function ownExecutable(): string | undefined {
  const runtime = process as unknown as { getBuiltinModule?(name: string): unknown };
  const sea = runtime.getBuiltinModule?.('node:sea') as { isSea(): boolean } | undefined;
  return sea?.isSea() === true && existsSync(process.execPath) ? process.execPath : undefined;
}
