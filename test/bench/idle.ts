/** What a waiting gateway holds: memory of the process and of all that it has started. */
import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startSupervisord } from '../helpers/supervisord.ts';
import { agentsHere } from './fleet.ts';
import type { Peer } from './peers/peer.ts';
import { resting, treeMemory } from './resting.ts';
import { type Row, rowOf } from './row.ts';
import { type Contender, measureGroup } from './sample.ts';
import { EXECUTABLE, makeTemplate, type Site, type Template } from './site.ts';

/** Long enough for the check-in and for what follows it. */
const REST_MS = 8000;
const PEER_REST_MS = 2000;

export async function idleRows(site: Site): Promise<Row[]> {
  const template = await makeTemplate(site, 'idle');
  const others = [idleNode(), idleSupervisord(site), ...agentsHere().map((agent) => idleAgent(site, agent))];
  const [ours, ...peers] = await measureGroup({
    title: 'idle',
    contenders: [idleGwe(template), ...others],
    quantity: 'privateMiB',
    leastRuns: 3,
    mostRuns: 3,
  });
  // PSS is the lower the more others use the same library: what is nobody else's is what a change is held to.
  const pss = { unit: 'MiB', quantity: 'pssMiB', isOnlyShown: true };
  const own = { unit: 'MiB', quantity: 'privateMiB' };
  return [
    rowOf({ ...pss, key: 'idle.pss', what: 'waiting, PSS of the process tree', goal: 1 }, ours),
    ...peers.map((peer) => rowOf({ ...pss, key: `idle.pss.${peer.name}`, what: 'the same' }, ours, peer)),
    rowOf({ ...own, key: 'idle.private', what: 'waiting, private memory of the process tree' }, ours),
  ];
}

function idleAgent(site: Site, agent: Peer): Contender {
  return agent.idle(mkdtempSync(join(site.scratch, `${agent.name}-`)));
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
      return resting(spawn(EXECUTABLE, [], { env, stdio: 'ignore' }), REST_MS);
    },
  };
}

function idleNode(): Contender {
  const script = 'setInterval(() => undefined, 1e9)';
  return {
    name: 'node',
    what: `node -e '${script}'`,
    run: () => resting(spawn(process.execPath, ['-e', script], { stdio: 'ignore' }), PEER_REST_MS),
  };
}

function idleSupervisord(site: Site): Contender {
  return {
    name: 'supervisord',
    what: 'supervisord without a program',
    async run() {
      const supervisord = await startSupervisord(join(site.scratch, `s${process.hrtime.bigint() % 100000n}`));
      await delay(PEER_REST_MS);
      const memory = treeMemory(supervisord.pid);
      await supervisord.stop();
      return memory;
    },
  };
}
