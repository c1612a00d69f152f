/** Bundle -> one executable per target: strip the target's Node, let pkg put the bundle into it. */
import * as fs from 'node:fs';
import { basename, join } from 'node:path';
import { build } from 'esbuild';
import { digest, fileDigest, remembered } from './cache.mjs';
import { emulationNeeds, ensureInstalled, strippingNeeds } from './debian.mjs';
import {
  CACHE,
  emulatorFor,
  ensureDirectory,
  hostTarget,
  ROOT,
  run,
  say,
  sourceTime,
  TARGETS,
  VERSION,
} from './project.mjs';
import { ensureHostRuntime, shippedRuntime } from './runtimes.mjs';

const LOADER = join(ROOT, 'src/packaging/loader.cjs');
const WARM_UP = join(ROOT, 'src/packaging/warm-up.mjs');

/** Raised when the steps below change in a way that their inputs do not show. */
const RECIPE = 5;

/**
 * What keeps the heap of a program small that works for seconds and waits for hours: a young generation of a megabyte
 * instead of sixteen, and no compiler threads, whose memory the C library never gives back. Neither makes the runtime
 * refuse the code cache.
 */
const FRUGAL = ['--max-semi-space-size=1', '--no-concurrent-recompilation'];

/**
 * pkg looks for a runtime by the CPU named, and makes the blob by one for this machine's CPU. Naming the shipped one by
 * another CPU keeps the two apart, also when they are the same; the name does not get into the file.
 */
const FOREIGN_LABEL = process.arch === 'arm64' ? 'x64' : 'arm64';

/** The bundled agent, as text. The same sources give the same text wherever the checkout lies. */
export async function bundle() {
  const result = await build({
    absWorkingDir: ROOT,
    entryPoints: ['src/main.ts'],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    // What armv7l ships. Its SEA mode has no import(), so a lazy import becomes a lazy require.
    target: 'node20.11',
    supported: { 'dynamic-import': false },
    minify: true,
    legalComments: 'none',
    logLevel: 'warning',
    define: { GWE_VERSION: JSON.stringify(VERSION), GWE_BUILD_TIME: String(sourceTime()) },
  });
  return result.outputFiles[0].text;
}

/**
 * Makes `output` from `text` for `target`, unless what is there was made from the same inputs.
 * Returns whether it was made.
 */
export async function makeExecutable(target, text, output) {
  const host = hostTarget();
  const runtime = await shippedRuntime(target);
  ensureInstalled(strippingNeeds(target, target === host), `stripping the ${target} runtime`);
  ensureInstalled(emulationNeeds(target, target === host), `building for ${target} on ${host}`);
  const helpers = [LOADER, WARM_UP].map(fileDigest);
  const inputs = digest(JSON.stringify([RECIPE, target, digest(text), fileDigest(runtime.path), ...helpers]));
  return remembered(basename(output), inputs, output, async () => {
    say(`making ${output.slice(ROOT.length)} (Node ${runtime.version})`);
    const work = fs.mkdtempSync(join(CACHE, 'build', `${target}-`));
    try {
      const made = await injectBundle(work, target, runtime, text);
      fs.chmodSync(made, 0o755);
      fs.renameSync(made, output);
    } finally {
      fs.rmSync(work, { recursive: true, force: true });
    }
  });
}

async function injectBundle(work, target, runtime, text) {
  const stripped = laidOutForPkg(work, FOREIGN_LABEL, runtime.version);
  strip(target, runtime.path, stripped);
  const generator = laidOutForPkg(work, process.arch, runtime.version);
  writeGenerator(generator, target, stripped);
  const scripts = takesAssets(runtime.version) ? prepared(work, target, stripped, text) : asOne(work, text);
  const output = join(work, 'gwe');
  const job = { ...scripts, output, arch: FOREIGN_LABEL, version: runtime.version, generator, flags: FRUGAL };
  const node = await ensureHostRuntime();
  const env = { ...process.env, HOME: work, TMPDIR: work, NODE_OPTIONS: '' };
  run(node, ['src/packaging/pkg-sea.mjs', JSON.stringify(job)], { env });
  return output;
}

/** Whether an executable of Node `version` can have files beside its script (not before 21.7). */
function takesAssets(version) {
  return Number.parseInt(version, 10) >= 22;
}

/** The bundle is the script, and its functions are compiled when they are called. */
function asOne(work, text) {
  const main = join(work, 'gwe.cjs');
  fs.writeFileSync(main, text);
  return { main, assets: {} };
}

/** The script is the loader, and beside it are the bundle and what the target's own runtime has compiled of it. */
function prepared(work, target, stripped, text) {
  const [main, bundled, cache] = ['loader.cjs', 'gwe.js', 'gwe.cache'].map((name) => join(work, name));
  fs.copyFileSync(LOADER, main);
  fs.writeFileSync(bundled, `(function (require) {${text}\n})`);
  const [command, ...args] = [...emulatorFor(target), stripped];
  const options = { env: { PATH: process.env.PATH, HOME: work }, stdio: ['ignore', 'ignore', 2] };
  run(command, [...args, '--predictable', WARM_UP, bundled, cache], options);
  run(command, [...args, ...FRUGAL, WARM_UP, '--check', bundled, cache], options);
  return { main, assets: { 'gwe.js': bundled, 'gwe.cache': cache } };
}

/** The path at which pkg looks for a runtime, with the marks that keep it from downloading one. */
function laidOutForPkg(home, arch, version) {
  const name = `node-v${version}-linux-${arch}`;
  const cache = join(home, '.pkg-cache', 'sea');
  const bin = ensureDirectory(join(cache, name, 'bin'));
  for (const mark of [`${name}.tar.gz`, `${name}.tar.gz.ok`, `${name}/bin/node.ok`]) {
    fs.writeFileSync(join(cache, mark), '');
  }
  return join(bin, 'node');
}

/** Before injection: stripping the finished executable would break it. */
function strip(target, from, to) {
  const tool = target === hostTarget() ? 'strip' : `${TARGETS[target].triplet}-strip`;
  run(tool, ['--strip-all', '-o', to, from]);
  fs.chmodSync(to, 0o755);
}

/**
 * A command that makes the blob on the target's own runtime, so that word size and code cache are right.
 * `--predictable` makes the code cache the same in every build, and the runtime accepts it without the flag.
 */
function writeGenerator(path, target, stripped) {
  const command = [...emulatorFor(target), `'${stripped}'`, '--predictable'].join(' ');
  fs.writeFileSync(path, `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o755 });
}
