/**
 * `make bench-delta`: what an update costs on the wire, beside other tools, for real pairs of versions. Bytes are TCP
 * payload both ways, requests included. On the slow line all tools of all pairs run at once, each on a line of its own.
 */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type CountingRelay, type Line, startCountingRelay } from '../counting-relay.ts';
import { openSite, type Site, treeDigest } from '../site.ts';
import { makePairs, type Pair } from './pairs.ts';
import { startStaticServer } from './static-server.ts';
import { startRsyncDaemon, TOOLS, type Tool, workplace } from './tools.ts';

const CACHE = join(import.meta.dirname, '../../../.cache/bench');
const SLOW: Line = { bitsPerSecond: 200_000, roundTripMs: 300 };
/** What would take longer on the slow line is not run there. */
const LONGEST_SLOW_S = 180;

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    tool: { type: 'string', default: '' },
    fast: { type: 'boolean', default: false },
  },
});

interface Measured {
  pair: string;
  tool: string;
  what: string;
  fullBytes: number;
  wireBytes: number;
  requests: number;
  seconds: number;
  slowSeconds?: number;
}

interface World {
  site: Site;
  files: string;
  targets: Readonly<Record<Tool['serves'], string>>;
}

async function measure(world: World, pair: Pair, tool: Tool, line: Line | undefined): Promise<Measured> {
  const relay = await startCountingRelay(world.targets[tool.serves]);
  const { work, remove } = workplace(world.site.scratch);
  try {
    const job = await tool.prepare({ site: world.site, pair, relay, files: world.files, work });
    const before = relay.total();
    relay.setLine(line);
    const startedAt = performance.now();
    await job.run();
    const seconds = (performance.now() - startedAt) / 1000;
    const after = relay.total();
    assertSameTree(job.result, pair, tool);
    await job.close();
    return {
      pair: pair.name,
      tool: tool.name,
      what: tool.what,
      fullBytes: statSync(pair.new.plain).size,
      wireBytes: after.up + after.down - before.up - before.down,
      requests: after.requests - before.requests,
      seconds,
    };
  } finally {
    await relay.close();
    remove();
  }
}

function assertSameTree(result: string, pair: Pair, tool: Tool): void {
  if (treeDigest(result) === treeDigest(pair.new.tree)) return;
  throw new Error(`${pair.name}: what ${tool.name} made is not the new version`);
}

function estimateSlow(bytes: number): number {
  return (bytes * 8) / SLOW.bitsPerSecond;
}

function render(rows: readonly Measured[]): string {
  const lines = [
    ['pair', 'tool', 'bytes on the wire', 'of full', 'requests', 'loopback', '200 kbit/s, 300 ms'],
    ['---', '---', '--:', '--:', '--:', '--:', '--:'],
    ...rows.map((row) => [
      row.pair,
      row.tool,
      row.wireBytes.toLocaleString('en'),
      `${((100 * row.wireBytes) / row.fullBytes).toFixed(1)} %`,
      row.tool === 'rsync' ? '' : String(row.requests),
      `${row.seconds.toFixed(2)} s`,
      row.slowSeconds === undefined
        ? `(${Math.round(estimateSlow(row.wireBytes))} s)`
        : `${row.slowSeconds.toFixed(1)} s`,
    ]),
  ];
  return `${lines.map((line) => `| ${line.join(' | ')} |`).join('\n')}\n`;
}

async function measureAll(world: World, pairs: readonly Pair[]): Promise<Measured[]> {
  const jobs = pairs.flatMap((pair) =>
    TOOLS.filter((tool) => tool.applies(pair) && tool.name.includes(values.tool)).map((tool) => ({
      pair,
      tool,
    })),
  );
  const rows: Measured[] = [];
  for (const { pair, tool } of jobs) {
    process.stderr.write(`${pair.name}: ${tool.name}\n`);
    rows.push(await measure(world, pair, tool, undefined));
  }
  if (values.fast) return rows;
  process.stderr.write(`on the slow line, all at once, up to ${LONGEST_SLOW_S} s\n`);
  const slow = jobs.map(async ({ pair, tool }, index) => {
    const row = rows[index];
    if (row === undefined || estimateSlow(row.wireBytes) > LONGEST_SLOW_S) return;
    row.slowSeconds = (await measure(world, pair, tool, SLOW)).seconds;
  });
  await Promise.all(slow);
  return rows;
}

/** A port that nobody listens on just now. */
async function freePort(): Promise<number> {
  const relay: CountingRelay = await startCountingRelay('http://127.0.0.1:1');
  await relay.close();
  return relay.port;
}

const pairsDirectory = join(CACHE, 'pairs');
mkdirSync(pairsDirectory, { recursive: true });
const pairs = await makePairs(pairsDirectory, values.only);
const scratch = mkdtempSync(join(CACHE, 'run-'));
const site = await openSite(scratch);
const files = join(scratch, 'files');
mkdirSync(files);
const server = await startStaticServer(files);
const rsyncPort = await freePort();
const stopRsync = await startRsyncDaemon(pairsDirectory, scratch, rsyncPort);
try {
  const targets = { platform: site.platform.url, files: server.url, rsync: `http://127.0.0.1:${rsyncPort}` };
  const rows = await measureAll({ site, files, targets }, pairs);
  process.stdout.write(render(rows));
  writeFileSync(join(CACHE, 'bench-delta.json'), `${JSON.stringify({ rows }, null, 2)}\n`);
} finally {
  stopRsync();
  await server.close();
  await site.close();
  rmSync(scratch, { recursive: true, force: true });
}
