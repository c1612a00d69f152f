/** What chunks cost who builds: bytes beside `gzip -6` of the same tar stream, and time beside `tar | gzip -6`. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Payload, payloadTree } from './payload.ts';
import { type Row, rowOf } from './row.ts';
import { type Contender, measureGroup } from './sample.ts';
import { EXECUTABLE, type Site, settle } from './site.ts';

/** Most that a tarball of ordinary files may be larger, and a build slower. */
const GOALS = { bytes: 1.04, seconds: 1.5 };

const NODE_MODULES = join(import.meta.dirname, '../../node_modules');

/** The payload, and what is in node_modules: software as it is. */
export async function packRows(site: Site, payload: Payload, runs: number): Promise<Row[]> {
  const tree = payloadTree(join(site.scratch, '..'), payload);
  const size = `${Math.round(payload.sizeBytes / 1e6)} MB in ${payload.files} files`;
  const parts = ['', 'typescript', 'valibot', 'fast-xml-parser', '@biomejs'];
  const rows = [...(await sizeAndTime(site, `pack.${payload.name}`, size, tree, runs))];
  for (const part of parts) {
    const what = join('node_modules', part);
    rows.push(...(await sizeAndTime(site, `pack.${what}`, `\`${what}\``, join(NODE_MODULES, part), 1)));
  }
  return rows;
}

async function sizeAndTime(
  site: Site,
  key: string,
  what: string,
  tree: string,
  runs: number,
): Promise<Row[]> {
  const scratch = mkdtempSync(join(site.scratch, 'pack-'));
  try {
    const work = join(scratch, 'tree');
    shell('cp -al "$1" "$2"', tree, work);
    const buildfile = join(scratch, 'b.json');
    const includes = ['**'];
    writeFileSync(join(work, 'install.sh'), '#!/bin/sh\n', { mode: 0o755, flag: 'a' });
    writeFileSync(buildfile, JSON.stringify({ name: 'bench', version: '1', includes }));
    const [ours, theirs] = await measureGroup({
      title: key,
      contenders: [builder(work, buildfile), archiver(work)],
      quantity: 'seconds',
      leastRuns: Math.min(3, runs),
      mostRuns: runs,
    });
    const size = { unit: 'MB', quantity: 'megabytes', goal: GOALS.bytes };
    const time = { unit: 's', quantity: 'seconds', goal: GOALS.seconds };
    const rows = [rowOf({ ...size, key: `${key}.bytes`, what: `tarball of ${what}` }, ours, theirs)];
    if (runs > 1) rows.push(rowOf({ ...time, key: `${key}.seconds`, what: `building it` }, ours, theirs));
    return rows;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function builder(work: string, buildfile: string): Contender {
  return {
    name: 'gwe',
    what: '--build-app, the check of the result included',
    async run() {
      settle();
      const seconds = timed(() => {
        const { status, stderr } = spawnSync(EXECUTABLE, ['--build-app', buildfile], { cwd: work });
        if (status !== 0) throw new Error(`--build-app: ${stderr}`);
      });
      return { seconds, megabytes: statSync(join(work, 'bench.v1.tar.gz')).size / 1e6 };
    },
  };
}

/** Takes as long as `tar | gzip` of the files; its bytes are those of the stream that gwe has just packed. */
function archiver(work: string): Contender {
  return {
    name: '`tar \\| gzip -6`',
    what: 'the same files; the bytes are of the same stream',
    async run() {
      settle();
      const tarball = join(work, 'bench.v1.tar.gz');
      const seconds = timed(() =>
        shell('cd "$1" && tar cf - --exclude=bench.v1.tar.gz . | gzip -6 | cat > "$1/../theirs"', work),
      );
      const bytes = Number(shell('gunzip -c "$1" | gzip -6 | wc -c', tarball));
      return { seconds, megabytes: bytes / 1e6 };
    },
  };
}

function timed(action: () => void): number {
  const before = performance.now();
  action();
  return (performance.now() - before) / 1000;
}

function shell(script: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('sh', ['-c', script, 'sh', ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${script}: ${stderr}`);
  return stdout;
}
