/**
 * Turns a backup into a platform again, embedded or in PostgreSQL. Rollouts are paused; gateways with keys that it
 * does not know may activate again.
 */
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { GweError } from '../../../base/errors.ts';
import { ensureDirectory, renameDurable } from '../../../base/fs.ts';
import { removeTree } from '../../../base/remove-tree.ts';
import { pause } from '../../../fleet/rollout/operate.ts';
import { MAX_CONTENT_BYTES } from '../../bounds.ts';
import { allItems } from '../page.ts';
import { createConnection } from '../postgres/connection.ts';
import { openPostgresStorage } from '../postgres/postgres-storage.ts';
import { createBlobStore } from '../sqlite/blobs.ts';
import { openBackedUp } from '../sqlite/database.ts';
import { ensurePrivateDirectory } from '../sqlite/private-files.ts';
import { markReady, RESTORED } from '../sqlite/replaced.ts';
import { openSqliteStorage } from '../sqlite/sqlite-storage.ts';
import type { Storage } from '../storage.ts';
import { type CopyTarget, copyPlatform, type Progress } from './copy.ts';
import { type BackupManifest, pathOf, verifyBackup } from './manifest.ts';

/** Which devices may activate again although the backup says that they have a key. */
export interface Reactivation {
  seconds: number;
  /** `undefined` for all. */
  products?: readonly string[] | undefined;
}

interface Restored {
  madeAt: number;
  pausedRollouts: number;
  /** Serial numbers that may be activated once more. */
  reactivatable: number;
}

/**
 * Puts the backup beside what is in the directory; the next process that opens the directory puts it in place, and
 * moves what was there to `before-TIME`. If this throws, nothing has changed.
 */
export async function restoreEmbedded(
  from: string,
  directory: string,
  again: Reactivation | undefined,
  progress: Progress,
): Promise<Restored> {
  const { clock, say, signal } = progress;
  ensurePrivateDirectory(directory);
  const restored = join(directory, RESTORED);
  removeTree(restored);
  say('reading the backup');
  const manifest = await verifyBackup(from, signal);
  ensureDirectory(restored, 0o700);
  await takeFiles(from, restored, manifest, signal);
  const storage = await openSqliteStorage({ directory: restored, clock });
  let result: Restored;
  try {
    result = {
      madeAt: manifest.madeAt,
      pausedRollouts: await pauseRollouts(storage, progress),
      reactivatable: again === undefined ? 0 : reactivateInSqlite(storage, again, clock.wallMs()),
    };
  } finally {
    await storage.close();
  }
  markReady(directory, `before-${new Date(clock.wallMs()).toISOString().replace(/[:.]/g, '-')}`);
  return result;
}

async function takeFiles(
  from: string,
  to: string,
  { files }: BackupManifest,
  signal: AbortSignal,
): Promise<void> {
  const blobs = createBlobStore(to);
  for (const { name, sha256 } of files) {
    signal.throwIfAborted();
    const upload = await blobs.receive(createReadStream(pathOf(from, name)), MAX_CONTENT_BYTES, name);
    if (upload.sha256 !== sha256)
      throw new GweError(
        'PLATFORM_STATE',
        `cannot restore: '${pathOf(from, name)}' changed while it was read`,
      );
    blobs.adopt(upload);
    if (name === 'platform.db') renameDurable(join(to, 'content', name), join(to, name));
  }
}

const REACTIVATE = `UPDATE device SET reactivate_until = `;
/** Devices that an operator disabled, or that were never enabled, stay so. */
const WHO = ` WHERE state IN ('activated', 'notactivated') AND enabled_at <> 0`;

function reactivateInSqlite(
  { inside }: Awaited<ReturnType<typeof openSqliteStorage>>,
  { seconds, products }: Reactivation,
  nowMs: number,
): number {
  const until = Math.floor(nowMs / 1000) + seconds;
  const which = products === undefined ? '' : ` AND product IN (${products.map(() => '?').join(', ')})`;
  const statement = inside.database.prepare(`${REACTIVATE}?${WHO}${which}`);
  return Number(statement.run(until, ...(products ?? [])).changes);
}

/** Into an empty database. */
export async function restorePostgres(
  from: string,
  target: CopyTarget & { directory: string },
  again: Reactivation | undefined,
  progress: Progress,
): Promise<Restored> {
  progress.say('reading the backup');
  const manifest = await verifyBackup(from, progress.signal);
  const database = openBackedUp(join(from, 'platform.db'));
  try {
    const [row] = database.prepare("SELECT hex(value) AS id FROM secret WHERE name = 'database'").all();
    const id =
      row === undefined ? (manifest.files[0]?.sha256.slice(0, 32) ?? '') : String(row.id).toLowerCase();
    const freeze = async () => ({ shown: () => new Map<number, never[]>(), end: () => undefined });
    await copyPlatform({ database, directory: from, id, freeze }, target, progress);
  } finally {
    database.close();
  }
  const storage = await openPostgresStorage({ ...target, clock: progress.clock });
  try {
    return {
      madeAt: manifest.madeAt,
      pausedRollouts: await pauseRollouts(storage, progress),
      reactivatable: again === undefined ? 0 : await reactivateInPostgres(target, again),
    };
  } finally {
    await storage.close();
  }
}

async function reactivateInPostgres(
  target: CopyTarget,
  { seconds, products }: Reactivation,
): Promise<number> {
  const connection = createConnection(target);
  try {
    const until = 'floor(extract(epoch FROM clock_timestamp()))::bigint + $1::bigint';
    const rows = await connection.query(
      `${REACTIVATE}${until}${WHO} AND ($2::text[] IS NULL OR product = ANY($2::text[])) RETURNING id`,
      seconds,
      products ?? null,
    );
    return rows.length;
  } finally {
    await connection.close();
  }
}

/** What gateways did since the backup is not known, so a person has to check and resume. */
async function pauseRollouts(storage: Storage, { clock }: Progress): Promise<number> {
  const at = Math.floor(clock.wallMs() / 1000);
  let paused = 0;
  for (const product of await allItems((request) => storage.listProducts(request)))
    for (const { rollout } of await storage.listRollouts(product, MOST_ROLLOUTS)) {
      const act = { at, by: 'restore', reason: 'the platform was restored from a backup' };
      const audit = {
        at,
        actor: 'restore',
        request: '',
        action: 'pause',
        target: `${product}/${rollout.id}`,
        before: JSON.stringify({ state: rollout.state }),
        after: JSON.stringify({ state: 'paused' }),
      };
      if (rollout.state === 'paused') continue;
      const changed = await storage.changeRollout({ product, id: rollout.id }, (it) => pause(it, act), audit);
      if (typeof changed === 'object' && 'rollout' in changed) paused++;
    }
  return paused;
}

const MOST_ROLLOUTS = 1000;
