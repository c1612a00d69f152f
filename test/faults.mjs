/** Runs the fault tests in full and shows at the end what each of them covered. GWE_SEED and GWE_ROUNDS as for the tests. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const TOTALS = join(HERE, '../.cache/test/faults.txt');

mkdirSync(dirname(TOTALS), { recursive: true });
writeFileSync(TOTALS, '');
const startedMs = performance.now();
const env = { ...process.env, GWE_FAULTS: 'full', GWE_FAULT_TOTALS: TOTALS };
const { status } = spawnSync(process.execPath, [join(HERE, 'run.mjs'), 'fault'], { stdio: 'inherit', env });
const minutes = (performance.now() - startedMs) / 60_000;
const lines = readFileSync(TOTALS, 'utf8').trim().split('\n').sort();
const violations = lines.reduce((sum, line) => sum + Number(/, (\d+) violations/.exec(line)?.[1] ?? 0), 0);
console.log(`\n${lines.join('\n')}\nfaults: all: ${violations} violations, ${minutes.toFixed(1)} min`);
process.exitCode = status === 0 && violations === 0 ? 0 : 1;
