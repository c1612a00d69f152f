/** A fresh install over loopback, from `gwe --once` to its end, against the tools that a script would use. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DEFAULT_LIMITS } from '../../src/artifact/limits.ts';
import { packIndexed } from '../../src/artifact/make/pack-indexed.ts';
import { listTree, planPaths } from '../../src/artifact/make/plan-tree.ts';
import { inspectArtifact } from '../../src/artifact/unpack/extract.ts';
import { watchProcess } from '../helpers/process-watch.ts';
import { type Payload, payloadTree } from './payload.ts';
import { type Row, rowOf } from './row.ts';
import { type Contender, type Measured, measureGroup } from './sample.ts';
import { shell, timedShell } from './shell.ts';
import { EXECUTABLE, makeTemplate, PRODUCT, type Site, settle, type Template, treeDigest } from './site.ts';

const MIB = 2 ** 20;

export type Kind = 'plain' | 'indexed';

/** Goals of the ratio to `curl | tar xz`, by payload and kind. */
const TIME_GOALS: Readonly<Record<string, number>> = {
  'large plain': 0.9,
  'large indexed': 0.85,
  'medium plain': 3,
  'medium indexed': 3,
};
const CPU_GOALS: Readonly<Record<string, number>> = { 'large indexed': 0.8 };
const WRITTEN_GOALS: Readonly<Record<string, number>> = { 'large plain': 1.1, 'large indexed': 1.05 };
const MEMORY_GOAL_MIB = 29;

export async function installRows(site: Site, payload: Payload, kind: Kind, runs: number): Promise<Row[]> {
  const template = await makeTemplate(site, `install-${kind}-${payload.name}`);
  const item = await uploadPayload(site, payload, kind);
  const goal = (goals: Readonly<Record<string, number>>): { goal?: number } => {
    const found = goals[`${payload.name} ${kind}`];
    return found === undefined ? {} : { goal: found };
  };
  const results = await measureGroup({
    title: `install ${payload.name} ${kind}`,
    contenders: [gweInstall(site, template, item), ...shellInstalls(site, template, item)],
    quantity: 'seconds',
    leastRuns: Math.min(5, runs),
    mostRuns: runs,
  });
  const [ours, piped, careful] = results;
  const size = `${Math.round(payload.sizeBytes / 1e6)} MB in ${payload.files} files`;
  // How long a disk takes says more about what else it does than about gwe: CPU is what a change is held to.
  const facts = { unit: 's', quantity: 'seconds', isOnlyShown: true };
  const cpu = { unit: 's', quantity: 'cpuSeconds' };
  const key = `install.${kind}.${payload.name}`;
  const what = `fresh install, ${kind}, ${size}`;
  return [
    rowOf({ ...facts, key, what, ...goal(TIME_GOALS) }, ours, piped),
    rowOf({ ...facts, key: `${key}.careful`, what: 'the same' }, ours, careful),
    rowOf(
      { ...cpu, key: `${key}.cpu`, what: 'CPU during it, user and system', ...goal(CPU_GOALS) },
      ours,
      piped,
    ),
    rowOf(
      {
        key: `${key}.memory`,
        what: 'anonymous memory during it, at most',
        unit: 'MiB',
        quantity: 'peakMiB',
        goal: MEMORY_GOAL_MIB,
      },
      ours,
    ),
    rowOf(
      {
        key: `${key}.written`,
        what: 'written to the disk, per byte unpacked',
        unit: '',
        quantity: 'writtenShare',
        ...goal(WRITTEN_GOALS),
      },
      ours,
    ),
  ];
}

export interface Item {
  id: string;
  sha256: string;
  unpackedBytes: number;
}

/** The tarball of the payload's tree: by `tar czf`, or as gwe builds it. */
export async function uploadPayload(site: Site, payload: Payload, kind: Kind): Promise<Item> {
  const tree = payloadTree(join(site.scratch, '..'), payload);
  const facts = { name: `bench-${payload.name}`, version: kind };
  const id = `${facts.name}.v${kind}.tar.gz`;
  const file = join(site.scratch, id);
  if (kind === 'plain') shell('tar czf "$1" -C "$2" .', file, tree);
  else await packIndexed(file, { facts, entries: planPaths(tree, listTree(tree, ''), DEFAULT_LIMITS) });
  const bytes = readFileSync(file);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const { index } = await inspectArtifact(file, { limits: DEFAULT_LIMITS });
  rmSync(file);
  // As `gwe platform content put` does it: without the second digest an indexed one would be fetched as a plain one is.
  const meta = [`SHA256:${sha256}`, ...(index === undefined ? [] : [`MANIFEST-SHA256:${index.digest}`])];
  await site.platform.putContent(PRODUCT, id, bytes, meta.join(' '));
  return { id, sha256, unpackedBytes: payload.sizeBytes };
}

/** `gwe --once` on a fresh root, from its start to its end. */
export function gweInstall(
  site: Site,
  template: Template,
  item: Item,
  env: Readonly<Record<string, string>> = {},
): Contender {
  let work = '';
  return {
    name: 'gwe',
    what: 'gwe --once: start, check in, download, check, unpack, sync, install.sh, report',
    async run() {
      const root = template.root();
      const command = JSON.stringify({ install: [{ name: item.id }] });
      await site.platform.write(PRODUCT, template.serial, 'engine_fetch', command);
      settle();
      const measured = await runGwe(root, item, env);
      work = treeDigest(join(root, `opt/gwe/apps/${item.id.split('.v')[0]}/current`).concat('/'));
      rmSync(root, { recursive: true, force: true });
      return measured;
    },
    work: () => work,
  };
}

async function runGwe(root: string, item: Item, env: Readonly<Record<string, string>>): Promise<Measured> {
  const before = performance.now();
  const child = spawn(EXECUTABLE, ['--once'], {
    env: { ...env, PATH: process.env.PATH ?? '', GWE_ROOT: root, HOME: root },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log += chunk.toString();
  });
  const watch = watchProcess(child.pid ?? -1);
  const status = await new Promise((resolve) => child.once('close', resolve));
  const seconds = (performance.now() - before) / 1000;
  const { peakBytes, writtenBytes, cpuSeconds } = await watch.stop();
  if (status !== 0) throw new Error(`gwe --once ended with ${status}:\n${log}`);
  return { seconds, cpuSeconds, peakMiB: peakBytes / MIB, writtenShare: writtenBytes / item.unpackedBytes };
}

/** Its key and its address are the first two arguments. */
export const CURL = 'curl -sf -H "X-Exosite-CIK: $1" "$2"';

export function downloadUrl(site: Site, id: string): string {
  return `${site.platform.url}/provision/download?vendor=${PRODUCT}&model=${PRODUCT}&id=${id}`;
}

/** The same by a script that checks nothing, and by one that checks and syncs. */
export function shellInstalls(
  site: Site,
  template: Template,
  item: Item,
  env: Readonly<Record<string, string>> = {},
): Contender[] {
  const set = Object.entries(env).map(([name, value]) => `export ${name}='${value}' && `);
  const url = downloadUrl(site, item.id);
  const contender = (name: string, script: string): Contender => {
    let work = '';
    return {
      name,
      what: script,
      async run() {
        const directory = mkdtempSync(join(site.scratch, 'peer-'));
        settle();
        const before = performance.now();
        const { cpuSeconds } = timedShell(
          `${set.join('')}cd "$3" && ${script}`,
          template.cik,
          url,
          directory,
          item.sha256,
        );
        const seconds = (performance.now() - before) / 1000;
        work = treeDigest(join(directory, 'tree'));
        rmSync(directory, { recursive: true, force: true });
        return { seconds, cpuSeconds };
      },
      work: () => work,
    };
  };
  return [
    contender('curl \\| tar xz', `mkdir tree && ${CURL} | tar xz -C tree --exclude=.gwe`),
    contender(
      'curl, sha256sum, tar, sync',
      `mkdir tree && ${CURL} > file && echo "$4  file" | sha256sum -c --quiet && ` +
        'tar xzf file -C tree --exclude=.gwe && find tree -exec sync {} +',
    ),
  ];
}
