/** A fresh install on a disk on which each sync takes longer, as on the volumes of a cloud or a worn SD card. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { gweInstall, shellInstalls, uploadPayload } from './install.ts';
import type { Payload } from './payload.ts';
import { type Row, rowOf } from './row.ts';
import { measureGroup } from './sample.ts';
import { makeTemplate, type Site } from './site.ts';

const SLOWER_MS = 20;

/** Compiles what is preloaded to slow syncs down into `scratch`. */
export function compileSlowSync(scratch: string): string {
  const slowSync = join(scratch, 'slow-sync.so');
  const source = join(import.meta.dirname, 'fleet/slow-sync.c');
  execFileSync('gcc', ['-O2', '-shared', '-fPIC', '-o', slowSync, source]);
  return slowSync;
}

export async function slowDiskRows(site: Site, payload: Payload, runs: number): Promise<Row[]> {
  const template = await makeTemplate(site, `slow-disk-${payload.name}`);
  const item = await uploadPayload(site, payload, 'indexed');
  const env = { LD_PRELOAD: compileSlowSync(site.scratch), GWE_SLOW_SYNC_MS: String(SLOWER_MS) };
  const [, careful] = shellInstalls(site, template, item, env);
  if (careful === undefined) throw new Error('no install by a shell that syncs');
  const [ours, peer] = await measureGroup({
    title: `install ${payload.name} on a slow disk`,
    contenders: [gweInstall(site, template, item, env), careful],
    quantity: 'seconds',
    leastRuns: 3,
    mostRuns: runs,
  });
  const size = `${Math.round(payload.sizeBytes / 1e6)} MB in ${payload.files} files`;
  const what = `fresh install, indexed, ${size}, each sync takes ${SLOWER_MS} ms more`;
  const facts = { unit: 's', quantity: 'seconds', isOnlyShown: true };
  return [rowOf({ ...facts, key: `install.indexed.${payload.name}.slow-disk`, what }, ours, peer)];
}
