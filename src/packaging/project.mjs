/** What every build step has to know about this repository. Plain JavaScript: it runs on the Node that is there. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const DIST = join(ROOT, 'dist');
export const CACHE = join(ROOT, '.cache');

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

/** The version of gwe; package.json is its only source. */
export const VERSION = manifest.version;

/** A number that grows with the version of gwe: an earlier signed gwe is not installed over a later one. */
export function releaseOf(version) {
  const parts = /^(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?![\d.])/.exec(version);
  if (parts === null)
    throw new Error(`cannot make a release of version '${version}': expected MAJOR.MINOR.PATCH`);
  const [, major, minor, patch] = parts.map(Number);
  return (major * 10_000 + minor) * 10_000 + patch;
}

/** Target -> npm package, version and sha512 integrity of its Node: the pins of package.json. */
export const RUNTIMES = manifest.gwe.runtimes;

/**
 * What a foreign machine's file takes to be stripped and run here: GNU triplet, emulator, Debian packages.
 * @type {Record<string, {nodeArch: string, triplet: string, emulator: string, stripPackage: string, runPackages: string[]}>}
 */
export const TARGETS = {
  'linux-x64': {
    nodeArch: 'x64',
    triplet: 'x86_64-linux-gnu',
    emulator: 'qemu-x86_64-static',
    stripPackage: 'binutils-x86-64-linux-gnu',
    runPackages: ['libc6-amd64-cross', 'libstdc++6-amd64-cross'],
  },
  'linux-arm64': {
    nodeArch: 'arm64',
    triplet: 'aarch64-linux-gnu',
    emulator: 'qemu-aarch64-static',
    stripPackage: 'binutils-aarch64-linux-gnu',
    runPackages: ['libc6-arm64-cross', 'libstdc++6-arm64-cross'],
  },
  'linux-armv7l': {
    nodeArch: 'arm',
    triplet: 'arm-linux-gnueabihf',
    emulator: 'qemu-arm-static',
    stripPackage: 'binutils-arm-linux-gnueabihf',
    runPackages: ['libc6-armhf-cross', 'libstdc++6-armhf-cross', 'libatomic1-armhf-cross'],
  },
};

/** The target that this machine is; its runtime builds and tests everything. */
export function hostTarget() {
  const target = `${process.platform}-${process.arch}`;
  if (!(target in RUNTIMES)) {
    throw new Error(
      `cannot build on ${target}: expected one of ${Object.keys(RUNTIMES).join(', ')} (a 32-bit ARM machine is a target only)`,
    );
  }
  return target;
}

/** The arguments that run a file of `target` here: none on the same kind of machine, else qemu-user with its libraries. */
export function emulatorFor(target) {
  if (target === hostTarget()) return [];
  const { emulator, triplet } = TARGETS[target];
  return [emulator, '-L', `/usr/${triplet}`];
}

/** Says what is being done: set-up takes long enough that silence would worry. */
export function say(text) {
  process.stderr.write(`${text}\n`);
}

/** Runs a tool without a shell; what it prints goes to standard error, so that standard output stays the result's. */
export function run(command, args, options = {}) {
  return execFileSync(command, args, { cwd: ROOT, stdio: ['ignore', 2, 2], ...options });
}

export function ensureDirectory(path) {
  mkdirSync(path, { recursive: true });
  return path;
}

/**
 * When the sources were made, Unix seconds: SOURCE_DATE_EPOCH, else the last commit, so that the same sources give the
 * same bytes. 0 where neither is known.
 */
export function sourceTime() {
  const given = process.env.SOURCE_DATE_EPOCH;
  if (given !== undefined && given !== '') {
    if (/^\d{1,11}$/.test(given)) return Number(given);
    throw new Error(`SOURCE_DATE_EPOCH is '${given}', expected Unix seconds`);
  }
  try {
    const args = ['log', '-1', '--format=%ct'];
    return Number(execFileSync('git', args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'ignore'] }));
  } catch {
    return 0;
  }
}
