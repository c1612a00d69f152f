/** gwe beside the other update agents that Debian has: each brings the same tree to the disk from a signed artifact. */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { CURL, downloadUrl, gweInstall, uploadPayload } from './install.ts';
import { type Payload, payloadTree } from './payload.ts';
import { MENDER } from './peers/mender.ts';
import { isInstalled, mayMount, type Peer } from './peers/peer.ts';
import { RAUC } from './peers/rauc.ts';
import { SWUPDATE } from './peers/swupdate.ts';
import { type Row, rowOf } from './row.ts';
import { measureGroup } from './sample.ts';
import { shell } from './shell.ts';
import { makeTemplate, PRODUCT, type Site } from './site.ts';

const AGENTS: readonly Peer[] = [SWUPDATE, MENDER, RAUC];

/** Those that are installed and can be run here; says which are not. */
export function agentsHere(): Peer[] {
  return AGENTS.filter((agent) => {
    const can = isInstalled(agent.name) && (agent === SWUPDATE || mayMount());
    if (!can)
      process.stderr.write(`left out: ${agent.name} (not installed, or nothing may be mounted here)\n`);
    return can;
  });
}

export async function fleetRows(site: Site, payload: Payload, runs: number): Promise<Row[]> {
  const template = await makeTemplate(site, 'fleet');
  const item = await uploadPayload(site, payload, 'plain');
  const tarball = join(site.scratch, 'fleet.tar.gz');
  shell('tar czf "$1" -C "$2" .', tarball, payloadTree(join(site.scratch, '..'), payload));
  const agents = [];
  try {
    for (const agent of agentsHere()) {
      const directory = join(site.scratch, agent.name);
      mkdirSync(directory);
      const offer = (file: string): Promise<string> => offerFile(site, file, template.cik);
      agents.push(await agent.install(directory, { tarball, offer }));
    }
    const contenders = [gweInstall(site, template, item), ...agents.map(({ contender }) => contender)];
    const [ours, ...theirs] = await measureGroup({
      title: 'agents',
      contenders,
      quantity: 'seconds',
      leastRuns: Math.min(3, runs),
      mostRuns: runs,
    });
    const size = `${Math.round(payload.sizeBytes / 1e6)} MB in ${payload.files} files`;
    const facts = { unit: 's', quantity: 'seconds', what: `fresh install, plain, ${size}` };
    return theirs.map((peer) => rowOf({ ...facts, key: `agents.${peer.name.split(',')[0]}` }, ours, peer));
  } finally {
    for (const { close } of agents) await close();
    rmSync(tarball, { force: true });
  }
}

async function offerFile(site: Site, file: string, cik: string): Promise<string> {
  const id = basename(file);
  await site.platform.putContent(PRODUCT, id, readFileSync(file));
  rmSync(file);
  return CURL.replace('$1', cik).replace('$2', downloadUrl(site, id));
}
