/** What gwe does about the process that it was started as, before anything else. */
import { closeSync, readdirSync, readFileSync } from 'node:fs';
import { findExecve, ownExecutable } from './execve.ts';
import { foreignVariables, inertVariables, memoryVariables } from './scrub.ts';
import { VERSION } from './version.ts';

/**
 * Makes the process gwe's own: no variable of the runtime, no descriptor of somebody else, and nothing written that
 * others may write to. `args` are those behind the program's name. Returns the sentence to end with where that cannot
 * be.
 */
export function takeOverProcess(args: readonly string[]): string | undefined {
  // From source the runtime is the developer's own, and so is what the environment tells it.
  const refusal = VERSION === 'dev' ? undefined : startCleanly(args);
  if (refusal !== undefined) return refusal;
  process.umask(0o022);
  closeInherited();
  return undefined;
}

/**
 * Where the environment speaks to the runtime: becomes the same gwe without those variables, under the same pid, or,
 * where the runtime cannot do that, returns the sentence to end with. `undefined`: all is well. What a server lacks in
 * its environment is added in the same way, where that is possible.
 */
function startCleanly(args: readonly string[]): string | undefined {
  for (const name of inertVariables(process.env, args)) delete process.env[name];
  const found = foreignVariables(process.env);
  const added = ownExecutable() === undefined ? {} : memoryVariables(process.env, args);
  if (found.length === 0 && Object.keys(added).length === 0) return undefined;
  const env = { ...process.env, ...added };
  for (const name of found) delete env[name];
  const execve = findExecve();
  if (execve === undefined && found.length === 0) return undefined;
  if (execve === undefined) return `gwe: cannot start while ${found.join(', ')} is set: unset it`;
  // argv[1] of an executable is its own path once more, put in by the runtime.
  return execve(process.execPath, [process.argv0, ...process.argv.slice(2)], env);
}

const O_CLOEXEC = 0o2000000;

/**
 * What whoever started gwe left open must not reach install.sh. Closes every descriptor above stderr that children
 * would inherit; the runtime's own all close on exec.
 */
function closeInherited(): void {
  for (const name of listDescriptors()) {
    const fd = Number(name);
    if (fd <= 2) continue;
    try {
      const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1];
      if (flags !== undefined && (Number.parseInt(flags, 8) & O_CLOEXEC) === 0) closeSync(fd);
    } catch {
      // The one that listed the others is gone by now.
    }
  }
}

function listDescriptors(): string[] {
  try {
    return readdirSync('/proc/self/fd');
  } catch {
    return [];
  }
}
