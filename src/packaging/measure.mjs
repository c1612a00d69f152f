/** The table of `make dist`: bytes on disk and under xz, and how long a start takes against the bare runtime. */
import { execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileDigest } from './cache.mjs';
import { ensureInstalled } from './debian.mjs';
import { CACHE, DIST, emulatorFor, ensureDirectory, hostTarget, RUNTIMES, say } from './project.mjs';
import { shippedRuntime } from './runtimes.mjs';

/** Starts of each; the fastest counts, because whatever else the machine does can only make one slower. */
const NATIVE_STARTS = 20;
const EMULATED_STARTS = 3;

const MB = 1e6;

/** The same file compresses to the same size, and xz takes a minute for each: remembered by digest. */
function xzBytes(path) {
  const known = join(ensureDirectory(join(CACHE, 'build')), `xz-${fileDigest(path).slice(0, 16)}`);
  if (!fs.existsSync(known)) {
    say(`compressing ${path.slice(DIST.length + 1)} with xz -6 to see its size`);
    const packed = execFileSync('xz', ['-6', '-T1', '-c', path], { maxBuffer: 2 ** 30 });
    fs.writeFileSync(known, String(packed.length));
  }
  return Number(fs.readFileSync(known, 'utf8'));
}

/** Fastest of so many starts of each command, taken in turn so that both see the same machine. */
function fastestStarts(commands, starts) {
  const best = commands.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < starts; round++) {
    for (const [index, [command, ...args]] of commands.entries()) {
      const before = performance.now();
      const ended = spawnSync(command, args, { stdio: 'ignore' });
      if (ended.status !== 0) throw new Error(`'${[command, ...args].join(' ')}' ended with ${ended.status}`);
      best[index] = Math.min(best[index], performance.now() - before);
    }
  }
  return best;
}

async function measure(target) {
  const path = join(DIST, `gwe-${target}`);
  const runtime = await shippedRuntime(target);
  const emulator = emulatorFor(target);
  const empty = join(CACHE, 'build', 'empty.cjs');
  fs.writeFileSync(empty, '');
  const commands = [
    [...emulator, path, '--version'],
    [...emulator, runtime.path, empty],
  ];
  const isNative = target === hostTarget();
  const [start, bare] = fastestStarts(commands, isNative ? NATIVE_STARTS : EMULATED_STARTS);
  return [
    `gwe-${target}`,
    runtime.version,
    `${(fs.statSync(path).size / MB).toFixed(1)} MB`,
    `${(xzBytes(path) / MB).toFixed(1)} MB`,
    `${start.toFixed(0)} ms`,
    `${bare.toFixed(0)} ms`,
    (start / bare).toFixed(2),
    isNative ? '' : '(under qemu)',
  ];
}

ensureInstalled([{ probe: 'xz', package: 'xz-utils' }], 'measuring compressed sizes');
const rows = [['file', 'Node', 'on disk', 'xz -6', '--version', 'empty script', 'ratio', '']];
for (const target of Object.keys(RUNTIMES)) rows.push(await measure(target));
const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
for (const row of rows) {
  console.log(
    row
      .map((cell, column) => cell.padEnd(widths[column]))
      .join('  ')
      .trimEnd(),
  );
}
