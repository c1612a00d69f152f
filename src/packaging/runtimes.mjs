/** Brings the pinned Node runtimes from the npm registry, and believes nothing that does not match its pin. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { extract } from 'tar';
import { CACHE, emulatorFor, ensureDirectory, hostTarget, RUNTIMES, run, say } from './project.mjs';

/**
 * The path of `target`'s pinned Node, fetched and verified first if it is not in the cache. npm itself is used, so the
 * registry, proxy and CA are those that npm is set up with; `npm pack` (not install) brings foreign CPUs too.
 */
export async function pinnedRuntime(target) {
  const pin = RUNTIMES[target];
  const home = join(CACHE, 'runtimes', `${pin.package}-${pin.version}`);
  const marker = join(home, '.integrity');
  if (fs.existsSync(marker) && fs.readFileSync(marker, 'utf8') === pin.integrity) {
    return join(home, 'bin', 'node');
  }
  say(`fetching ${pin.package}@${pin.version} from npm (about 50 MB, once)`);
  const work = fs.mkdtempSync(join(ensureDirectory(join(CACHE, 'runtimes')), '.new-'));
  try {
    run('npm', ['pack', '--silent', '--pack-destination', work, `${pin.package}@${pin.version}`]);
    const archive = join(work, `${pin.package}-${pin.version}.tgz`);
    verifyIntegrity(archive, pin);
    const unpacked = ensureDirectory(join(work, 'runtime'));
    const wanted = ['package/bin/node', 'package/LICENSE'];
    await extract({ file: archive, cwd: unpacked, strip: 1, strict: true }, wanted);
    fs.writeFileSync(join(unpacked, '.integrity'), pin.integrity);
    replaceDirectory(unpacked, home, work);
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
  return join(home, 'bin', 'node');
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
