/**
 * How large the pieces of src/ are: prints median, p90 and max of file lines, function lines and parameters, and fails
 * past the limits. Functions are found by the parser of the linter, whose two rules are run with the smallest limits.
 */
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const ROOT = dirname(import.meta.dirname);
const MOST_FILE_LINES = 400;
const MOST_FUNCTION_LINES = 60;
const MOST_PARAMETERS = 4;
const MOST_FILES_IN_FOLDER = 24;

/** Rule -> its option with the smallest limit, and the number in its message. */
const RULES = {
  noExcessiveLinesPerFunction: { options: { maxLines: 1 }, found: /\((\d+)\)/ },
  useMaxParams: { options: { max: 0 }, found: /has (\d+) parameter/ },
};

function lint(config) {
  const args = ['lint', `--config-path=${config}`, '--max-diagnostics=none', '--reporter=json', 'src'];
  const ended = spawnSync(join(ROOT, 'node_modules/.bin/biome'), args, {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (!ended.stdout.startsWith('{')) throw new Error(`the linter says nothing of src: ${ended.stderr}`);
  return JSON.parse(ended.stdout).diagnostics;
}

/** Every function that a rule has something to count in: {where, value}. */
function measureFunctions() {
  const config = mkdtempSync(join(tmpdir(), 'gwe-measure-'));
  try {
    const complexity = Object.fromEntries(
      Object.entries(RULES).map(([rule, { options }]) => [rule, { level: 'error', options }]),
    );
    const linter = { rules: { preset: 'none', complexity } };
    writeFileSync(join(config, 'biome.json'), JSON.stringify({ linter, formatter: { enabled: false } }));
    const diagnostics = lint(config);
    return Object.fromEntries(
      Object.entries(RULES).map(([rule, { found }]) => [
        rule,
        diagnostics
          .filter(({ category }) => category === `lint/complexity/${rule}`)
          .map(({ message, location }) => ({
            where: `${location.path}:${location.start.line}`,
            value: Number(found.exec(message)?.[1]),
          })),
      ]),
    );
  } finally {
    rmSync(config, { recursive: true });
  }
}

function percentile(sorted, part) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
}

/** One line of the table; returns what is past `limit`, in words. */
function report(what, unit, values, limit) {
  if (values.length === 0 || values.some(({ value }) => !Number.isInteger(value)))
    throw new Error(`${what}: nothing to count, or no number`);
  const sorted = values.map(({ value }) => value).sort((a, b) => a - b);
  const columns = [percentile(sorted, 0.5), percentile(sorted, 0.9), sorted.at(-1), limit, sorted.length];
  console.log(what.padEnd(44) + columns.map((column) => String(column).padStart(8)).join(''));
  return values
    .filter(({ value }) => value > limit)
    .map(({ where, value }) => `${where}: ${value} ${unit}, expected at most ${limit}`);
}

const files = globSync('src/**/*.{ts,tsx}', { cwd: ROOT }).map((where) => ({
  where,
  value: readFileSync(join(ROOT, where), 'utf8').split('\n').length - 1,
}));
const folders = Map.groupBy(files, ({ where }) => dirname(where));
const functions = measureFunctions();

console.log(' '.repeat(44) + ['median', 'p90', 'max', 'limit', 'count'].map((n) => n.padStart(8)).join(''));
const faults = [
  ...report('lines of a file', 'lines', files, MOST_FILE_LINES),
  ...report(
    'lines of a function (of two or more)',
    'lines in one function',
    functions.noExcessiveLinesPerFunction,
    MOST_FUNCTION_LINES,
  ),
  ...report(
    'parameters of a function (of one or more)',
    'parameters',
    functions.useMaxParams,
    MOST_PARAMETERS,
  ),
  ...report(
    'files of a folder',
    'files',
    [...folders].map(([where, inside]) => ({ where, value: inside.length })),
    MOST_FILES_IN_FOLDER,
  ),
];
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;
