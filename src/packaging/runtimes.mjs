/** Brings the pinned Node runtimes from the npm registry, and believes nothing that does not match its pin. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { extract } from 'tar';
import { fileDigest } from './cache.mjs';
import { CACHE, emulatorFor, ensureDirectory, hostTarget, RUNTIMES, run, say } from './project.mjs';

/**
 * The path of `target`'s pinned Node, fetched and verified first if it is not in the cache. npm itself is used, so the
 * registry, proxy and CA are those that npm is set up with; `npm pack` (not install) brings foreign CPUs too.
 */
export function pinnedRuntime(target) {
  return keptRuntime(RUNTIMES[target], join(CACHE, 'runtimes'), packFromNpm);
}

/**
 * The path of the Node of `pin` below `directory`. What is there is believed by its bytes; otherwise `fetch(pin, work)`
 * puts the archive of the package into the directory `work`. Throws for one of another integrity.
 */
export async function keptRuntime(pin, directory, fetch) {
  const home = join(directory, `${pin.package}-${pin.version}`);
  const [marker, node] = [join(home, '.integrity'), join(home, 'bin', 'node')];
  if (fs.existsSync(marker) && fs.readFileSync(marker, 'utf8') === markOf(pin, node)) return node;
  const work = fs.mkdtempSync(join(ensureDirectory(directory), '.new-'));
  try {
    fetch(pin, work);
    const archive = join(work, `${pin.package}-${pin.version}.tgz`);
    verifyIntegrity(archive, pin);
    const unpacked = ensureDirectory(join(work, 'runtime'));
    const wanted = ['package/bin/node', 'package/LICENSE'];
    await extract({ file: archive, cwd: unpacked, strip: 1, strict: true }, wanted);
    fs.writeFileSync(join(unpacked, '.integrity'), markOf(pin, join(unpacked, 'bin', 'node')));
    replaceDirectory(unpacked, home, work);
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
  return node;
}

function packFromNpm(pin, work) {
  say(`fetching ${pin.package}@${pin.version} from npm (about 50 MB, once)`);
  run('npm', ['pack', '--silent', '--pack-destination', work, `${pin.package}@${pin.version}`]);
}

/** What the cache is believed by: the pin that it was fetched for, and the very bytes of the runtime. */
function markOf(pin, node) {
  return `${pin.integrity}\n${fs.existsSync(node) ? fileDigest(node) : 'none'}\n`;
}

function verifyIntegrity(archive, pin) {
  const found = `sha512-${createHash('sha512').update(fs.readFileSync(archive)).digest('base64')}`;
  if (found === pin.integrity) return;
  throw new Error(
    `cannot use ${pin.package}@${pin.version}: its integrity is ${found}, expected ${pin.integrity} (package.json, gwe.runtimes)`,
  );
}

/** Another build may do the same at this moment: whoever comes second finds the directory taken, and that is as good. */
function replaceDirectory(from, to, work) {
  if (fs.existsSync(to)) fs.renameSync(to, join(work, 'old'));
  try {
    fs.renameSync(from, to);
  } catch (error) {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  }
}

/** The variable that puts another Node in the place of `target`'s pinned one, e.g. GWE_RUNTIME_LINUX_ARMV7L. */
export function runtimeVariable(target) {
  return `GWE_RUNTIME_${target.toUpperCase().replaceAll('-', '_')}`;
}

/** The Node that goes into `target`'s executable, and its version without the `v`. */
export async function shippedRuntime(target) {
  const custom = process.env[runtimeVariable(target)];
  if (!custom) return { path: await pinnedRuntime(target), version: RUNTIMES[target].version };
  const path = fs.realpathSync(custom);
  assertCallersDigest(target, path);
  const [command, ...args] = [...emulatorFor(target), path, '--version'];
  const version = execFileSync(command, args, { encoding: 'utf8' }).split('\n')[0];
  if (!/^v\d+\.\d+\.\d+$/.test(version)) {
    throw new Error(
      `cannot use '${custom}' (${runtimeVariable(target)}): it says '${version}', expected a Node release`,
    );
  }
  say(`${target}: using ${version} from ${runtimeVariable(target)}`);
  return { path, version: version.slice(1) };
}

/** GWE_RUNTIME_..._SHA256 is what its maker gives for the file; compared before the file is run. */
function assertCallersDigest(target, path) {
  const variable = `${runtimeVariable(target)}_SHA256`;
  const [found, expected] = [fileDigest(path), process.env[variable]];
  if (!expected) say(`${target}: '${path}' has sha256 ${found}; set ${variable} to have it compared`);
  else if (expected.toLowerCase() !== found)
    throw new Error(`cannot use '${path}': it has sha256 ${found}, expected ${expected} (${variable})`);
}

/** Points .cache/runtime at this machine's runtime, the one that runs the tests; returns the path of its node. */
export async function ensureHostRuntime() {
  const node = await pinnedRuntime(hostTarget());
  const link = join(CACHE, 'runtime');
  const home = relative(CACHE, dirname(dirname(node)));
  const present = fs.lstatSync(link, { throwIfNoEntry: false });
  if (present === undefined || fs.readlinkSync(link) !== home) {
    fs.rmSync(link, { force: true });
    fs.symlinkSync(home, link);
  }
  return join(link, 'bin', 'node');
}
