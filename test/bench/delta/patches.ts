/**
 * Patches beside those of other tools, for the same pairs: bytes, and what making and applying them takes. The others
 * work on the tars and know no signatures; what gwe fetches besides the patch (the index with the sha256 of every file,
 * chunks that are not in it) has a column of its own. gwe applies its own as a gateway does: from the command to the new
 * version running, settle time of a second included. The figures are in .cache/bench/bench-patches.json as well.
 *
 *     node test/bench/delta/patches.ts [--only NAME]
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { createGateway } from '../../helpers/gateway.ts';
import { watchProcess } from '../../helpers/process-watch.ts';
import { EXECUTABLE, openSite, PRODUCT, type Site } from '../site.ts';
import { makePairs, type Pair } from './pairs.ts';

const CACHE = join(import.meta.dirname, '../../../.cache/bench');
const MIB = 2 ** 20;

interface Cost {
  seconds: number;
  /** The most anonymous memory while it ran. */
  peakBytes: number;
}

interface Measured {
  pair: string;
  tool: string;
  bytes: number;
  /** What is fetched besides the patch. */
  besidesBytes: number;
  made: Cost;
  applied: Cost;
}

interface Peer {
  tool: string;
  make(pair: Pair, patch: string): readonly string[];
  apply(pair: Pair, patch: string, output: string): readonly string[];
}

const PEERS: readonly Peer[] = [
  {
    tool: 'bsdiff',
    make: ({ old, new: next }, patch) => ['bsdiff', old.tar, next.tar, patch],
    apply: ({ old }, patch, output) => ['bspatch', old.tar, output, patch],
  },
  {
    tool: 'xdelta3 -9 -S lzma',
    make: ({ old, new: next }, patch) => [
      ...['xdelta3', '-q', '-9', '-S', 'lzma', '-f', '-e', '-B', '536870912'],
      ...['-s', old.tar, next.tar, patch],
    ],
    apply: ({ old }, patch, output) => [
      'xdelta3',
      '-q',
      '-f',
      '-d',
      '-B',
      '536870912',
      '-s',
      old.tar,
      patch,
      output,
    ],
  },
  {
    tool: 'zstd -19 --patch-from',
    make: ({ old, new: next }, patch) => [
      ...['zstd', '-q', '-f', '-19', '--long=28', `--patch-from=${old.tar}`],
      ...[next.tar, '-o', patch],
    ],
    apply: ({ old }, patch, output) => [
      ...['zstd', '-q', '-f', '-d', '--long=28', '--memory=1024MB', `--patch-from=${old.tar}`],
      ...[patch, '-o', output],
    ],
  },
];

async function cost(words: readonly string[]): Promise<Cost & { stdout: string }> {
  const [program = '', ...args] = words;
  const startedAt = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let complaint = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-500);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const watch = watchProcess(child.pid ?? 0);
  const status = await ended;
  const seconds = (performance.now() - startedAt) / 1000;
  const { peakBytes } = await watch.stop();
  if (status !== 0) throw new Error(`'${words.join(' ')}' ended with ${status}: ${complaint}`);
  return { seconds, peakBytes, stdout };
}

async function measurePeer(pair: Pair, peer: Peer, work: string): Promise<Measured> {
  const [patch, output] = [join(work, 'patch'), join(work, 'output')];
  const made = await cost(peer.make(pair, patch));
  const applied = await cost(peer.apply(pair, patch, output));
  if (!readFileSync(output).equals(readFileSync(pair.new.tar)))
    throw new Error(`${pair.name}: what ${peer.tool} made is not the new version`);
  return { pair: pair.name, tool: peer.tool, bytes: statSync(patch).size, besidesBytes: 0, made, applied };
}

async function measureGwe(site: Site, pair: Pair, work: string): Promise<Measured | undefined> {
  const patch = join(work, 'gwe.patch');
  const made = await cost([EXECUTABLE, 'patch', pair.old.indexed, pair.new.indexed, '-o', patch, '--json']);
  const { patchedBytes, patchBytes, file } = JSON.parse(made.stdout) as {
    patchedBytes: number;
    patchBytes: number;
    file?: string;
  };
  if (file === undefined || pair.patch === undefined) return undefined;
  const applied = await applyByGwe(site, pair, pair.patch);
  const besidesBytes = patchedBytes - patchBytes;
  return { pair: pair.name, tool: 'gwe', bytes: patchBytes, besidesBytes, made, applied };
}

async function applyByGwe({ platform }: Site, pair: Pair, patch: string): Promise<Cost> {
  for (const item of [pair.old.indexed, patch, pair.new.indexed])
    await platform.putContent(PRODUCT, basename(item), readFileSync(item), '');
  const gateway = await createGateway(platform, { command: [EXECUTABLE], serial: `patch-${pair.slug}` });
  const install = (item: string): Promise<Record<string, unknown>> =>
    gateway.command(platform, JSON.stringify({ install: [{ name: basename(item) }] }), 600_000);
  try {
    gateway.start();
    await install(pair.old.indexed);
    const watch = watchProcess(gateway.pid());
    const startedAt = performance.now();
    const report = JSON.stringify(await install(pair.new.indexed));
    const seconds = (performance.now() - startedAt) / 1000;
    const { peakBytes } = await watch.stop();
    if (!report.includes('by a patch from')) throw new Error(`${pair.name}: not by the patch: ${report}`);
    return { seconds, peakBytes };
  } finally {
    await gateway.remove();
  }
}

function render(rows: readonly Measured[]): string {
  const show = ({ seconds, peakBytes }: Cost): string[] => [
    `${seconds.toFixed(1)} s`,
    `${Math.round(peakBytes / MIB)} MB`,
  ];
  const lines = [
    ['pair', 'patch of', 'bytes', 'of bsdiff', 'besides', 'made in', 'memory', 'applied in', 'memory'],
    ['---', '---', '--:', '--:', '--:', '--:', '--:', '--:', '--:'],
    ...rows.map((row) => {
      const reference = rows.find(({ pair, tool }) => pair === row.pair && tool === 'bsdiff');
      const ratio = reference === undefined ? '' : (row.bytes / reference.bytes).toFixed(2);
      return [
        row.pair,
        row.tool,
        row.bytes.toLocaleString('en'),
        ratio,
        row.besidesBytes.toLocaleString('en'),
        ...show(row.made),
        ...show(row.applied),
      ];
    }),
  ];
  return `${lines.map((line) => `| ${line.join(' | ')} |`).join('\n')}\n`;
}

const { values } = parseArgs({ options: { only: { type: 'string', default: '' } } });
const pairsDirectory = join(CACHE, 'pairs');
mkdirSync(pairsDirectory, { recursive: true });
const pairs = await makePairs(pairsDirectory, values.only);
const scratch = mkdtempSync(join(CACHE, 'patches-'));
const site = await openSite(scratch);
const rows: Measured[] = [];
try {
  for (const pair of pairs) {
    process.stderr.write(`${pair.name}: patches\n`);
    const own = await measureGwe(site, pair, scratch);
    if (own !== undefined) rows.push(own);
    for (const peer of PEERS) rows.push(await measurePeer(pair, peer, scratch));
  }
  process.stdout.write(render(rows));
  writeFileSync(join(CACHE, 'bench-patches.json'), `${JSON.stringify({ rows }, null, 2)}\n`);
} finally {
  await site.close();
  rmSync(scratch, { recursive: true, force: true });
}
