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

/** How many files at a time. Where they wait more than they work, two would leave the cores idle. */
const AT_A_TIME = { unit: 2, integration: 4, targets: 1, console: 1, 'console-all': 1 };

/** They measure memory, or give an update or an answer seconds: beside another file each would see its load. */
const ALONE =
  /^test\/(e2e\/(memory|patch-memory|patch-threads|handover|self-update|service)|fault\/network)\.test\.ts$/;

/** A minute each, and most of that is waiting: what begins last would be waited for alone. */
const LONGEST =
  /\/(withheld|never-deaf|signed|stolen-platform|trust|state-files|release-lists|parked|update-logs|commands|crash-watch|exhaustive-kill|signed-cuts|completion|fleet|readme|doctor)\.test\.ts$/;

const startsSooner = (a, b) => Number(LONGEST.test(b)) - Number(LONGEST.test(a)) || (a < b ? -1 : 1);

/** Seconds of processor time of every process that this one has waited for, and of those that they have. */
function childSeconds() {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1].split(' ');
  return (Number(fields[13]) + Number(fields[14])) / 100;
}

function runFolder(folder) {
  const files = globSync(`test/${folder}/**/*.test.ts`, { cwd: ROOT }).sort(startsSooner);
  if (files.length === 0) return NOTHING;
  console.log(`\n== ${folder} tests`);
  const startedMs = performance.now();
  const startedCpu = childSeconds();
  const name = folder.replaceAll('/', '-');
  const alone = files.filter((file) => ALONE.test(file));
  const others = files.filter((file) => !ALONE.test(file));
  const sum = add([
    runFiles(name, AT_A_TIME[folder] ?? 2, others),
    ...(alone.length > 0 ? [runFiles(`${name}-alone`, 1, alone)] : []),
  ]);
  const wall = Math.round((performance.now() - startedMs) / 1000);
  return { ...sum, took: `${folder} ${wall} s (${Math.round(childSeconds() - startedCpu)} s CPU)` };
}

function runFiles(name, atATime, files) {
  const counts = join(COUNTS, `${name}.json`);
  rmSync(counts, { force: true });
  const args = [join(HERE, 'run-files.mjs'), counts, String(atATime), ...files];
  const env = { ...process.env, GWE_TEST_PROGRAM: PROGRAM };
  const ended = spawnSync(process.execPath, args, { cwd: ROOT, env, stdio: ['ignore', 1, 2] });
  const sum = existsSync(counts) ? readCounts(counts) : { ...NOTHING };
  // A runner that was killed, or failed outside any test, must not look like a pass.
  if (ended.status !== 0 && sum.failed === 0) sum.failed = 1;
  if (sum.passed + sum.failed === 0) sum.failed = 1;
  return sum;
}

function add(counts) {
  const sum = (key) => counts.reduce((total, one) => total + one[key], 0);
  return {
    passed: sum('passed'),
    failed: sum('failed'),
    skipped: sum('skipped'),
    failures: counts.flatMap((one) => one.failures),
  };
}

function readCounts(path) {
  const text = readFileSync(path, 'utf8').trim();
  return text === '' ? { ...NOTHING, failed: 1 } : JSON.parse(text);
}

function finish(counts, isTotal) {
  const sum = add(counts);
  const took = counts.flatMap((one) => one.took ?? []);
  if (took.length > 0) console.log(`\ntook: ${took.join(', ')}`);
  for (const failure of sum.failures) console.log(`failed: ${failure}`);
  const skipped = sum.skipped > 0 ? `, ${sum.skipped} skipped` : '';
  // The plain form stands for the whole of CI, so only the total has it.
  console.log(
    isTotal
      ? `\n${sum.passed} passed, ${sum.failed} failed${skipped}`
      : `\n${sum.passed} tests passed and ${sum.failed} failed${skipped}`,
  );
  process.exitCode = sum.failed > 0 || sum.passed === 0 ? 1 : 0;
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
