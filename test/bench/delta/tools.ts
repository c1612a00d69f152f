/**
 * Each tool brings a machine that has the old version to the new one over one TCP relay, which counts. What a tool may
 * have beforehand is what it would find there: the old tree, or a tar of it, which costs no wire.
 */
import { spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createGateway, type Gateway } from '../../helpers/gateway.ts';
import type { CountingRelay } from '../counting-relay.ts';
import { shell, shellAside } from '../shell.ts';
import { EXECUTABLE, type Site } from '../site.ts';
import type { Pair } from './pairs.ts';

/** Ready to be measured once. */
export interface Job {
  /** Where the new tree is afterwards. */
  result: string;
  run(): Promise<void>;
  close(): Promise<void>;
}

export interface Tool {
  name: string;
  what: string;
  /** Where its relay leads to. */
  serves: 'platform' | 'files' | 'rsync';
  /** False where it has nothing to offer for this pair. */
  applies(pair: Pair): boolean;
  prepare(place: Place): Promise<Job>;
}

export interface Place {
  site: Site;
  pair: Pair;
  relay: CountingRelay;
  /** Served by HTTP, also through the relay. */
  files: string;
  /** Its own, fresh. */
  work: string;
}

export const PRODUCTS = { chunks: 'p-chunks', patch: 'p-patch' } as const;

const MOST_BSDIFF_BYTES = 256e6;

export const TOOLS: readonly Tool[] = [
  gweTool('gwe', 'gwe --once, chunks alone', 'chunks'),
  gweTool('gwe, patch', 'the same with what `gwe patch` made', 'patch'),
  peer('zsync', 'zsyncmake of the .tar.gz, the old .tar as input', (place) => {
    const name = `${place.pair.slug}.tar.gz`;
    publish(place, name, (to) => {
      cpSync(place.pair.new.plain, to);
      shell('cd "$(dirname "$1")" && zsyncmake -u "$2" -o "$1.zsync" "$1"', to, name);
    });
    const script = 'cd "$1" && zsync -q -i "$2" -o new "$3.zsync" && tar xf new -C tree';
    return [script, place.work, place.pair.old.tar, `${place.relay.url}/${name}`];
  }),
  peer('casync', 'an index and a store of chunks, the old tree as seed', (place) => {
    const name = `${place.pair.slug}.caidx`;
    publish(place, name, (to) => {
      shell(`casync make ${CASYNC} --store="$1.castr" "$1" "$2" >/dev/null`, to, place.pair.new.tree);
    });
    const url = `${place.relay.url}/${name}`;
    const script = `casync extract ${CASYNC} --store="$2.castr" --seed="$3" "$2" "$1/tree"`;
    return [script, place.work, url, place.pair.old.tree];
  }),
  {
    ...peer('bsdiff', 'bsdiff of the two .tar', (place) => {
      const name = `${place.pair.slug}.bsdiff`;
      publish(place, name, (to) =>
        shell('bsdiff "$1" "$2" "$3"', place.pair.old.tar, place.pair.new.tar, to),
      );
      const script = 'cd "$1" && curl -sf "$3" > patch && bspatch "$2" new patch && tar xf new -C tree';
      return [script, place.work, place.pair.old.tar, `${place.relay.url}/${name}`];
    }),
    // It takes nine times the size in memory, and minutes.
    applies: (pair) => statSync(pair.old.tar).size <= MOST_BSDIFF_BYTES,
  },
  peer('xdelta3', 'xdelta3 -9 of the two .tar', (place) => {
    const name = `${place.pair.slug}.xdelta3`;
    publish(place, name, (to) => {
      shell('xdelta3 -q -f -e -9 -B 268435456 -s "$1" "$2" "$3"', place.pair.old.tar, place.pair.new.tar, to);
    });
    const script =
      'cd "$1" && curl -sf "$3" > patch && xdelta3 -q -f -d -B 268435456 -s "$2" patch new && tar xf new -C tree';
    return [script, place.work, place.pair.old.tar, `${place.relay.url}/${name}`];
  }),
  rsyncTool(),
];

/** Modes, owners and times to the second; the trees have one time for all. */
const CASYNC = '--with=unix';

/** Everything a peer downloads is made once for each pair. */
function publish({ files }: Place, name: string, make: (to: string) => void): void {
  const to = join(files, name);
  if (!existsSync(to)) make(to);
}

function peer(name: string, what: string, prepare: (place: Place) => readonly [string, ...string[]]): Tool {
  return {
    name,
    what,
    serves: 'files',
    applies: () => true,
    async prepare(place) {
      const result = join(place.work, 'tree');
      mkdirSync(result);
      const [script, ...args] = prepare(place);
      return { result, run: () => shellAside(script, ...args), close: async () => undefined };
    },
  };
}

export const RSYNC_MODULE = 'trees';

function rsyncTool(): Tool {
  return {
    name: 'rsync',
    what: 'rsync -az of the tree from a daemon, onto a copy of the old one',
    serves: 'rsync',
    applies: () => true,
    async prepare({ pair, relay, work }) {
      const result = join(work, 'tree');
      cpSync(pair.old.tree, result, { recursive: true, verbatimSymlinks: true });
      const url = `rsync://127.0.0.1:${relay.port}/${RSYNC_MODULE}/${pair.slug}/new/`;
      const run = () => shellAside('rsync -az --checksum --delete --no-times "$1" "$2/"', url, result);
      return { result, run, close: async () => undefined };
    },
  };
}

/** A daemon that gives away all that lies below `directory`. */
export async function startRsyncDaemon(directory: string, work: string, port: number): Promise<() => void> {
  const config = join(work, 'rsyncd.conf');
  const lines = [
    `port = ${port}`,
    'use chroot = no',
    `[${RSYNC_MODULE}]`,
    `path = ${directory}`,
    'read only = yes',
  ];
  writeFileSync(config, `${lines.join('\n')}\n`);
  const args = ['--daemon', '--no-detach', '--address=127.0.0.1', `--config=${config}`];
  const child = spawn('rsync', args, { stdio: 'ignore' });
  await delay(500);
  return () => void child.kill();
}

function gweTool(name: string, what: string, product: keyof typeof PRODUCTS): Tool {
  return {
    name,
    what,
    serves: 'platform',
    applies: (pair) => product === 'chunks' || pair.patch !== undefined,
    async prepare({ site, pair, relay, work }) {
      await uploadPair(site, pair, product);
      const gateway = await createGateway(
        { ...site.platform, url: relay.url },
        {
          command: [EXECUTABLE],
          product: PRODUCTS[product],
          serial: basename(work),
          directory: work,
          settings: { http_timeout: 60 },
        },
      );
      const once = (version: string): Promise<void> => checkInOnce(site, gateway, pair, version);
      await once('old');
      return {
        result: `${join(gateway.root, 'opt/gwe/apps', pair.slug, 'current')}/`,
        run: () => once('new'),
        close: () => gateway.remove(),
      };
    },
  };
}

async function uploadPair(site: Site, pair: Pair, product: keyof typeof PRODUCTS): Promise<void> {
  const put = (path: string, meta: string): Promise<void> =>
    site.platform.putContent(PRODUCTS[product], basename(path), readFileSync(path), meta);
  for (const { indexed, indexedDigest } of [pair.old, pair.new])
    await put(indexed, `MANIFEST-SHA256:${indexedDigest}`);
  if (product === 'patch' && pair.patch !== undefined) await put(pair.patch, '');
}

async function checkInOnce(site: Site, gateway: Gateway, pair: Pair, version: string): Promise<void> {
  const command = JSON.stringify({ install: [{ name: `${pair.slug}.v${version}.tar.gz` }] });
  await site.platform.write(gateway.product, gateway.serial, 'engine_fetch', command);
  const script = 'exec env -i PATH="$PATH" GWE_ROOT="$1" HOME="$1" "$2" --once';
  await shellAside(script, gateway.root, EXECUTABLE);
  if (gateway.active(pair.slug)?.startsWith(`${version}-`) !== true)
    throw new Error(`gwe did not install ${pair.slug} ${version}`);
}

/** A directory of its own for one job. */
export function workplace(scratch: string): { work: string; remove(): void } {
  const work = mkdtempSync(join(scratch, 'job-'));
  return { work, remove: () => rmSync(work, { recursive: true, force: true }) };
}
