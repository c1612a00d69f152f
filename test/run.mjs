/**
 * Runs test folders one after the other: `run.mjs unit integration ...`, on whichever Node starts it. Writes the counts of
 * each to .cache/test/, prints their sum, and fails if any test failed or a folder ran none.
 * `run.mjs --total` prints the sum of everything written there as CI's closing line.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = dirname(HERE);
const COUNTS = join(ROOT, '.cache', 'test');

/** These start processes and watch time: beside another, each would see the other's load. */
const ONE_AT_A_TIME = new Set(['e2e', 'fault', 'targets']);

/** In full the fault tests wait more than they work, and their deadlines are wide. */
const atATime = (folder) => (ONE_AT_A_TIME.has(folder) && process.env.GWE_FAULTS !== 'full' ? 1 : 2);

function runFolder(folder) {
  const files = globSync(`test/${folder}/**/*.test.ts`, { cwd: ROOT }).sort();
  if (files.length === 0) return { passed: 0, failed: 0, skipped: 0 };
  console.log(`\n== ${folder} tests`);
  const counts = join(COUNTS, `${folder}.json`);
  rmSync(counts, { force: true });
  const args = [
    '--test',
    `--test-concurrency=${atATime(folder)}`,
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    '--test-reporter=./test/count.mjs',
    `--test-reporter-destination=${counts}`,
    ...files,
  ];
  const ended = spawnSync(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 1, 2] });
  const sum = existsSync(counts) ? readCounts(counts) : { passed: 0, failed: 0, skipped: 0 };
  // A runner that was killed, or failed outside any test, must not look like a pass.
  if (ended.status !== 0 && sum.failed === 0) sum.failed = 1;
  if (sum.passed + sum.failed === 0) sum.failed = 1;
  return sum;
}

function readCounts(path) {
  const text = readFileSync(path, 'utf8').trim();
  return text === '' ? { passed: 0, failed: 1, skipped: 0 } : JSON.parse(text);
}

function finish(counts, isTotal) {
  const sum = (key) => counts.reduce((total, one) => total + one[key], 0);
  const skipped = sum('skipped') > 0 ? `, ${sum('skipped')} skipped` : '';
  // The plain form stands for the whole of CI, so only the total has it.
  console.log(
    isTotal
      ? `\n${sum('passed')} passed, ${sum('failed')} failed${skipped}`
      : `\n${sum('passed')} tests passed and ${sum('failed')} failed${skipped}`,
  );
  process.exitCode = sum('failed') > 0 || sum('passed') === 0 ? 1 : 0;
}

mkdirSync(COUNTS, { recursive: true });
const wanted = process.argv.slice(2);
if (wanted[0] === '--total') {
  const counts = readdirSync(COUNTS).map((name) => readCounts(join(COUNTS, name)));
  finish(counts, true);
} else finish(wanted.map(runFolder), false);
