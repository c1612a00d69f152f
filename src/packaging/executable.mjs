/** Bundle -> one executable per target: strip the target's Node, let pkg put the bundle into it, take locale data out. */
import * as fs from 'node:fs';
import { basename, join } from 'node:path';
import { build } from 'esbuild';
import { digest, fileDigest, remembered } from './cache.mjs';
import { consoleFiles } from './console.mjs';
import { emulationNeeds, ensureInstalled, strippingNeeds } from './debian.mjs';
import { withoutSpareData } from './locale-data.mjs';
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
import { withRoom } from './room.mjs';
import { ensureHostRuntime, shippedRuntime } from './runtimes.mjs';
import { withEvenNote } from './sea-note.mjs';

/** Raised when the steps below change in a way that their inputs do not show. */
const RECIPE = 10;

/**
 * pkg looks for a runtime by the CPU named, and makes the blob by one for this machine's CPU. Naming the shipped one by
 * another CPU keeps the two apart, also when they are the same; the name does not get into the file.
 */
const FOREIGN_LABEL = process.arch === 'arm64' ? 'x64' : 'arm64';

/**
 * The bundled agent, as text. The same sources give the same text wherever the checkout lies. `release: false` is gwe as
 * it runs from source, without a version of its own.
 */
export async function bundle({ release = true } = {}) {
  const thread = await bundled('src/artifact/patch/thread.ts', {});
  const version = { GWE_VERSION: JSON.stringify(VERSION), GWE_BUILD_TIME: String(sourceTime()) };
  return bundled('src/main.ts', {
    ...(release ? version : {}),
    // A thread has no file to start from: it is given its program as text.
    GWE_PATCH_THREAD: JSON.stringify(thread),
    // Text twice over: it is parsed when somebody opens a page.
    GWE_CONSOLE: JSON.stringify(JSON.stringify(await consoleFiles())),
  });
}

/** What node-fetch brings for runtimes without web streams: to look whether they are there loads them. */
const WITHOUT_POLYFILLS = {
  name: 'without-polyfills',
  setup: (builder) =>
    builder.onLoad({ filter: /\/fetch-blob\/streams\.cjs$/ }, () => ({ contents: '', loader: 'js' })),
};

/** Tables of nodemailer for mail that gwe never sends: types of attached files, and servers of mail providers. */
const WITHOUT_MAIL_TABLES = {
  name: 'without-mail-tables',
  setup(builder) {
    const unused = 'throw new Error("not in this executable");';
    builder.onLoad({ filter: /\/mime-funcs\/mime-types\.js$/ }, () => ({
      contents: `export function detectMimeType() { ${unused} } export function detectExtension() { ${unused} }`,
    }));
    builder.onLoad({ filter: /\/well-known\/services\.js$/ }, () => ({
      contents: 'export const services = {};',
    }));
  },
};

/** Parts of the runtime that hardly any start needs, and that take milliseconds to load. */
const SELDOM_NEEDED = /^node:(?:child_process|dns\/promises|https|os|perf_hooks|tls|v8|vm|zlib)$/;

/** Each of those parts is loaded when something of it is used for the first time, not where it is imported. */
const LATE_RUNTIME = {
  name: 'late-runtime',
  setup(builder) {
    builder.onResolve({ filter: SELDOM_NEEDED }, ({ path, namespace }) =>
      namespace === 'late' ? { path, external: true } : { path, namespace: 'late' },
    );
    builder.onLoad({ filter: /./, namespace: 'late' }, async ({ path }) => ({
      contents: await lateModule(path),
    }));
  },
};

/** Its names are those of the runtime that builds; what the target's does not have of them is undefined there. */
async function lateModule(path) {
  const names = Object.keys(await import(path)).filter((name) => name !== 'default');
  const getters = names.map((name) => `get ${name}() { return load().${name}; }`);
  return `let found; const load = () => (found ??= require(${JSON.stringify(path)}));
module.exports = { ${getters.join(', ')} };`;
}

async function bundled(entryPoint, define) {
  const result = await build({
    absWorkingDir: ROOT,
    entryPoints: [entryPoint],
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
    plugins: [WITHOUT_POLYFILLS, WITHOUT_MAIL_TABLES, LATE_RUNTIME],
    define,
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
  const inputs = digest(JSON.stringify([RECIPE, target, digest(text), fileDigest(runtime.path)]));
  return remembered(basename(output), inputs, output, async () => {
    say(`making ${output.slice(ROOT.length)} (Node ${runtime.version})`);
    const work = fs.mkdtempSync(join(CACHE, 'build', `${target}-`));
    try {
      const made = await injectBundle(work, target, runtime, text);
      // Last: stripping and injecting expect a file as the linker left it.
      const whole = withEvenNote(fs.readFileSync(made));
      fs.writeFileSync(made, withoutSpareData(whole, fs.readFileSync(runtime.path)));
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
  const job = {
    bundle: join(work, 'gwe.cjs'),
    output: join(work, 'gwe'),
    arch: FOREIGN_LABEL,
    version: runtime.version,
    generator,
  };
  fs.writeFileSync(job.bundle, withRoom(text));
  const node = await ensureHostRuntime();
  const env = { ...process.env, HOME: work, TMPDIR: work, NODE_OPTIONS: '' };
  runQuietly(node, ['src/packaging/pkg-sea.mjs', JSON.stringify(job)], env);
  return job.output;
}

/** What pkg says names a CPU that nothing is made for (FOREIGN_LABEL): it is shown only where pkg fails. */
function runQuietly(command, args, env) {
  try {
    run(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    process.stderr.write(`${error.stdout ?? ''}${error.stderr ?? ''}`);
    throw error;
  }
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
