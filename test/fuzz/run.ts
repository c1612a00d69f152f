/**
 * `make fuzz`: every target in a process of its own, GWE_FUZZ_SECONDS (600) for each, two at a time. Names after it
 * choose targets; GWE_FUZZ_SEED repeats a run.
 */
import { spawn } from 'node:child_process';
import { fuzz } from './guided.ts';
import { createTargets } from './targets.ts';

const AT_ONCE = 2;
/** Beyond its time: a decoder that never comes back. */
const GRACE_S = 30;

const seconds = Number(process.env.GWE_FUZZ_SECONDS ?? 600);
const seed = Number(process.env.GWE_FUZZ_SEED ?? Date.now() % 2 ** 31);

async function runOne(name: string): Promise<void> {
  const targets = await createTargets();
  const target = targets.find((each) => each.name === name);
  if (target === undefined) throw new Error(`no target '${name}'`);
  const result = await fuzz(target, { seconds, seed });
  await Promise.all(targets.map((each) => each.close?.()));
  console.log(
    `${name.padEnd(16)} ${String(result.inputs).padStart(9)} inputs, ${result.corpus} kept, ${result.blocks} blocks, ` +
      `slowest ${result.slowestMs.toFixed(0)} ms, peak ${result.peakMib} MiB, seed ${seed}`,
  );
}

function start(name: string): Promise<boolean> {
  const script = process.argv[1] ?? '';
  const env = { ...process.env, GWE_FUZZ_SEED: String(seed) };
  const child = spawn(process.execPath, ['--no-warnings', script, '--one', name], { stdio: 'inherit', env });
  const hang = setTimeout(
    () => {
      console.error(`${name}: one input never came to an end (seed ${seed})`);
      child.kill('SIGKILL');
    },
    (seconds + GRACE_S) * 1000,
  );
  return new Promise((resolve) =>
    child.once('exit', (code) => {
      clearTimeout(hang);
      resolve(code === 0);
    }),
  );
}

async function runAll(wanted: readonly string[]): Promise<void> {
  const targets = await createTargets();
  await Promise.all(targets.map((each) => each.close?.()));
  const names = targets
    .map(({ name }) => name)
    .filter((name) => wanted.length === 0 || wanted.includes(name));
  let isGood = names.length > 0;
  const work = async (): Promise<void> => {
    for (let name = names.shift(); name !== undefined; name = names.shift())
      isGood = (await start(name)) && isGood;
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  process.exitCode = isGood ? 0 : 1;
}

const [first, ...rest] = process.argv.slice(2);
if (first === '--one') await runOne(rest[0] ?? '');
else await runAll(process.argv.slice(2));
