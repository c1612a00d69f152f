/** What the embedded platform holds in memory while an artifact is uploaded: as much for a large one as for a small one. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { watchProcess } from '../helpers/process-watch.ts';
import { numbers } from './payload.ts';
import { type Row, rowOf } from './row.ts';
import { type Contender, measureGroup } from './sample.ts';
import { shellAside } from './shell.ts';
import { EXECUTABLE, PRODUCT, type Site } from './site.ts';

const MIB = 2 ** 20;

export async function uploadRows(site: Site): Promise<Row[]> {
  const [large, small] = await measureGroup({
    title: 'upload',
    contenders: [upload(site, 200), upload(site, 20)],
    quantity: 'peakMiB',
    leastRuns: 3,
    mostRuns: 5,
  });
  const what = 'anonymous memory of `gwe platform serve` during an upload of 200 MB, at most';
  return [rowOf({ key: 'upload.memory', what, unit: 'MiB', quantity: 'peakMiB', goal: 1.2 }, large, small)];
}

function upload(site: Site, megabytes: number): Contender {
  return {
    name: `upload of ${megabytes} MB`,
    what: `\`curl -T\` of ${megabytes} MB to a platform just started`,
    async run() {
      const directory = mkdtempSync(join(site.scratch, 'upload-'));
      const file = join(directory, 'app.v1.tar.gz');
      writeFileSync(file, randomBytes(megabytes * 1e6));
      const child = spawn(
        EXECUTABLE,
        ['platform', 'serve', '--data', join(directory, 'data'), '--listen', '127.0.0.1:0'],
        {
          stdio: ['ignore', 'pipe', 'ignore'],
        },
      );
      const gone = new Promise((resolve) => child.once('close', resolve));
      try {
        const url = `${await listensOn(child)}/gwe/v1/products/${PRODUCT}/content/app.v1.tar.gz`;
        const token = readFileSync(join(directory, 'data/admin-token'), 'utf8').trim();
        const watch = watchProcess(child.pid ?? -1);
        await shellAside('curl -sf -o /dev/null -T "$1" -H "X-Exosite-Token: $2" "$3"', file, token, url);
        return { peakMiB: (await watch.stop()).peakBytes / MIB };
      } finally {
        child.kill('SIGTERM');
        await gone;
        rmSync(directory, { recursive: true, force: true });
      }
    },
  };
}

function randomBytes(length: number): Buffer {
  const next = numbers('upload');
  const bytes = Buffer.alloc(length);
  for (let at = 0; at + 4 <= length; at += 4) bytes.writeUInt32LE(next(), at);
  return bytes;
}

function listensOn(child: ChildProcess): Promise<string> {
  let printed = '';
  return new Promise((resolve, reject) => {
    child.once('exit', () => reject(new Error('the platform ended')));
    child.stdout?.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
      const url = /^listening on (\S+)\n/m.exec(printed)?.[1];
      if (url !== undefined) resolve(url);
    });
  });
}
