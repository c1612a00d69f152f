/** What a waiting gateway holds: PSS of the process and of all that it has started. */
import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startSupervisord } from '../helpers/supervisord.ts';
import { type Row, rowOf } from './row.ts';
import { type Contender, measureGroup } from './sample.ts';
import { EXECUTABLE, makeTemplate, type Site, type Template } from './site.ts';

/** Long enough for the check-in and for what follows it. */
const REST_MS = 8000;

export async function idleRows(site: Site): Promise<Row[]> {
  const template = await makeTemplate(site, 'idle');
  const [ours, node, supervisord] = await measureGroup({
    title: 'idle',
    contenders: [idleGwe(template), idleNode(), idleSupervisord(site)],
    quantity: 'pssMiB',
    leastRuns: 3,
    mostRuns: 3,
  });
  const facts = { unit: 'MiB', quantity: 'pssMiB', what: 'waiting, PSS of the process tree' };
  const goal = {
    key: 'idle.pss',
    what: 'waiting, PSS of the process tree',
    unit: 'MiB',
    quantity: 'pssMiB',
    goal: 1,
  };
  return [
    rowOf(goal, ours),
    rowOf({ ...facts, key: 'idle.pss.node', what: 'the same' }, ours, node),
    rowOf({ ...facts, key: 'idle.pss.supervisord', what: 'the same' }, ours, supervisord),
  ];
}

function idleGwe(template: Template): Contender {
  return {
    name: 'gwe',
    what: 'the agent between two check-ins, 4 h apart',
    async run() {
      const root = template.root();
      const config = join(root, 'etc/gwe/Engine.config');
      appendFileSync(config, 'update_interval = 14400\n');
      const env = { PATH: process.env.PATH ?? '', GWE_ROOT: root, HOME: root };
      return resting(spawn(EXECUTABLE, [], { env, stdio: 'ignore' }));
    },
  };
}

function idleNode(): Contender {
  const script = 'setInterval(() => undefined, 1e9)';
  return {
    name: 'node',
    what: `node -e '${script}'`,
    run: () => resting(spawn(process.execPath, ['-e', script], { stdio: 'ignore' })),
  };
}

function idleSupervisord(site: Site): Contender {
  return {
    name: 'supervisord',
    what: 'supervisord without a program',
    async run() {
      const supervisord = await startSupervisord(join(site.scratch, `s${process.hrtime.bigint() % 100000n}`));
      await delay(REST_MS / 4);
      const pssMiB = treePssKiB(supervisord.pid) / 1024;
      await supervisord.stop();
      return { pssMiB };
    },
  };
}

async function resting(child: ChildProcess): Promise<{ pssMiB: number }> {
  const gone = new Promise((resolve) => child.once('close', resolve));
  await delay(REST_MS);
  const pssMiB = treePssKiB(child.pid ?? -1) / 1024;
  child.kill('SIGTERM');
  await gone;
  return { pssMiB };
}

function treePssKiB(pid: number): number {
  const own = Number(
    /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1] ?? 0,
  );
  return childrenOf(pid).reduce((sum, child) => sum + treePssKiB(child), own);
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1')
      .trim()
      .split(' ')
      .filter((text) => text !== '')
      .map(Number),
  );
}
