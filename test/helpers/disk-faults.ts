/** Makes the calls of `node:fs` that change the disk fail below chosen directories. In-process, so many roots at once. */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

export interface DiskFault {
  code: 'EIO' | 'ENOSPC' | 'EROFS' | 'short';
  /** How many calls it has hit. */
  hits: number;
  /** So many calls more get through before it begins. */
  spare?: number;
}

type Call = (...args: never[]) => unknown;

/** Path arguments of each call; a number among them is a descriptor. */
const CHANGING: Readonly<Record<string, readonly number[]>> = {
  writeSync: [0],
  writeFileSync: [0],
  fsyncSync: [0],
  ftruncateSync: [0],
  fchmodSync: [0],
  chmodSync: [0],
  renameSync: [0, 1],
  symlinkSync: [1],
  linkSync: [1],
  mkdirSync: [0],
  rmSync: [0],
  unlinkSync: [0],
  rmdirSync: [0],
};

export interface DiskFaults {
  set(root: string, fault: DiskFault | undefined): void;
  /** Makes each read of the file `path` fail with EIO; it goes on being there. */
  withhold(path: string | undefined): void;
  restore(): void;
}

export function installDiskFaults(): DiskFaults {
  const faults = new Map<string, DiskFault>();
  const files = new Map<number, string>();
  let withheld: string | undefined;
  const module = fs as unknown as Record<string, Call>;
  const originals = new Map<string, Call>();
  const replace = (name: string, make: (real: Call) => Call): void => {
    const real = module[name] as Call;
    originals.set(name, real);
    module[name] = make(real);
  };
  const faultAt = (path: unknown): DiskFault | undefined => {
    const text = typeof path === 'number' ? files.get(path) : named(String(path));
    if (text === undefined) return undefined;
    for (const [root, fault] of faults) {
      if (!text.startsWith(`${root}/`)) continue;
      if (fault.spare === undefined || fault.spare <= 0) return fault;
      fault.spare--;
    }
    return undefined;
  };
  /** A name below an open directory, by the path that this was opened by. */
  const named = (path: string): string =>
    path.replace(/^\/proc\/self\/fd\/(\d+)/, (_match, fd: string) => files.get(Number(fd)) ?? fd);
  const fail = (fault: DiskFault, name: string): never => {
    fault.hits++;
    throw Object.assign(new Error(`${fault.code}: injected, ${name}`), { code: fault.code });
  };
  replace('openSync', (real) => (...args: unknown[]) => {
    const [path, flags = 'r'] = args;
    const changes = typeof flags === 'number' ? (flags & fs.constants.O_CREAT) !== 0 : flags !== 'r';
    const fault = changes ? faultAt(path) : undefined;
    if (fault !== undefined && fault.code !== 'short') fail(fault, 'open');
    const fd = real(...(args as never[])) as number;
    files.set(fd, named(String(path)));
    return fd;
  });
  replace('closeSync', (real) => (...args: unknown[]) => {
    files.delete(args[0] as number);
    return real(...(args as never[]));
  });
  for (const [name, indexes] of Object.entries(CHANGING)) {
    replace(name, (real) => (...args: unknown[]) => {
      const fault = indexes.map((index) => faultAt(args[index])).find((found) => found !== undefined);
      const isIdle =
        name === 'mkdirSync' || name === 'rmSync' ? isThere(args[0]) !== (name === 'rmSync') : false;
      if (fault === undefined || isIdle) return real(...(args as never[]));
      if (fault.code !== 'short') fail(fault, name);
      if (name === 'writeSync' && args[1] instanceof Uint8Array) return shortWrite(real, fault, args);
      return real(...(args as never[]));
    });
  }
  for (const name of ['readFileSync', 'readSync'])
    replace(name, (real) => (...args: unknown[]) => {
      const at = typeof args[0] === 'number' ? files.get(args[0]) : String(args[0]);
      if (withheld !== undefined && at === withheld) fail({ code: 'EIO', hits: 0 }, name);
      return real(...(args as never[]));
    });
  syncBuiltinESMExports();
  return {
    withhold(path) {
      withheld = path;
    },
    set(root, fault) {
      if (fault === undefined) faults.delete(root);
      else faults.set(root, fault);
    },
    restore() {
      for (const [name, real] of originals) module[name] = real;
      syncBuiltinESMExports();
    },
  };
}

function isThere(path: unknown): boolean {
  return fs.lstatSync(String(path), { throwIfNoEntry: false }) !== undefined;
}

/** Half of what was asked for, as a kernel may do. */
function shortWrite(real: Call, fault: DiskFault, args: unknown[]): unknown {
  const [fd, bytes, offset = 0, given, position] = args as [number, Uint8Array, number?, number?, number?];
  const length = given ?? bytes.length - offset;
  if (length > 1) fault.hits++;
  return real(...([fd, bytes, offset, Math.max(1, length >> 1), position] as never[]));
}
