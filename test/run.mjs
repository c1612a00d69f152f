/**
 * Runs test folders one after the other: `run.mjs unit integration ...`, on whichever Node starts it. Writes the counts of
 * each to .cache/test/, prints what failed and their sum, and fails if any test failed or a folder ran none.
 * `run.mjs --total` prints the sum of everything written there as CI's closing line.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from '../src/packaging/executable.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = dirname(HERE);
const COUNTS = join(ROOT, '.cache', 'test');
/** gwe from source in one file: tests start it thousands of times, and 250 files take ten times as long to load. */
const PROGRAM = join(ROOT, '.cache', 'build', 'gwe-for-tests.cjs');
const NOTHING = { passed: 0, failed: 0, skipped: 0, failures: [] };

/** These start processes and watch time: beside another, each would see the other's load. */
const ONE_AT_A_TIME = new Set(['e2e', 'fault', 'targets', 'console', 'console-all']);

/** In full the fault tests wait more than they work, and their deadlines are wide. */
const atATime = (folder) => (ONE_AT_A_TIME.has(folder) && process.env.GWE_FAULTS !== 'full' ? 1 : 2);

function runFolder(folder) {
  const files = globSync(`test/${folder}/**/*.test.ts`, { cwd: ROOT }).sort();
  if (files.length === 0) return NOTHING;
  console.log(`\n== ${folder} tests`);
  const counts = join(COUNTS, `${folder.replaceAll('/', '-')}.json`);
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
  const env = { ...process.env, GWE_TEST_PROGRAM: PROGRAM };
  const ended = spawnSync(process.execPath, args, { cwd: ROOT, env, stdio: ['ignore', 1, 2] });
  const sum = existsSync(counts) ? readCounts(counts) : { ...NOTHING };
  // A runner that was killed, or failed outside any test, must not look like a pass.
  if (ended.status !== 0 && sum.failed === 0) sum.failed = 1;
  if (sum.passed + sum.failed === 0) sum.failed = 1;
  return sum;
}

function readCounts(path) {
  const text = readFileSync(path, 'utf8').trim();
  return text === '' ? { ...NOTHING, failed: 1 } : JSON.parse(text);
}

function finish(counts, isTotal) {
  const sum = (key) => counts.reduce((total, one) => total + one[key], 0);
  for (const failure of counts.flatMap((one) => one.failures)) console.log(`failed: ${failure}`);
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
} else {
  mkdirSync(dirname(PROGRAM), { recursive: true });
  writeFileSync(PROGRAM, await bundle({ release: false }));
  finish(wanted.map(runFolder), false);
}
