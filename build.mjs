/**
 * Builds gwe: `node build.mjs` makes dist/gwe for this machine, `node build.mjs --target linux-arm64` (or `all`)
 * makes dist/gwe-linux-arm64. `make build` and `make dist` call it after their set-up.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bundle, makeExecutable } from './src/packaging/executable.mjs';
import { DIST, ensureDirectory, hostTarget, RUNTIMES, say } from './src/packaging/project.mjs';

function outputsFor(wanted) {
  if (wanted === undefined) return [[hostTarget(), 'gwe']];
  if (wanted === 'all') return Object.keys(RUNTIMES).map((target) => [target, `gwe-${target}`]);
  if (wanted in RUNTIMES) return [[wanted, `gwe-${wanted}`]];
  throw new Error(`cannot build target '${wanted}': expected ${Object.keys(RUNTIMES).join(', ')} or all`);
}

try {
  const { values } = parseArgs({ options: { target: { type: 'string' } } });
  const text = await bundle();
  ensureDirectory(DIST);
  for (const [target, name] of outputsFor(values.target)) {
    const isMade = await makeExecutable(target, text, join(DIST, name));
    if (!isMade) say(`dist/${name} is up to date`);
  }
} catch (error) {
  say(`build failed: ${error.message}`);
  process.exitCode = 1;
}
