/** Backs up a platform while it serves: an embedded one by its own process, one in PostgreSQL by any process. */
import { createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { GweError } from '../../../base/errors.ts';
import { ensureDirectory, fsyncDirectory, listDirectory } from '../../../base/fs.ts';
import { MAX_CONTENT_BYTES } from '../../bounds.ts';
import { createFileObjects } from '../objects/file-objects.ts';
import { createS3Objects } from '../objects/s3-objects.ts';
import { assertReachable, createConnection } from '../postgres/connection.ts';
import { createBlobStore } from '../sqlite/blobs.ts';
import { backUpDatabase, openBackedUp, openDatabase } from '../sqlite/database.ts';
import type { EmbeddedStorage } from '../sqlite/sqlite-storage.ts';
import type { CopyTarget, Progress } from './copy.ts';
import { type BackupFile, type BackupManifest, describeFile, writeManifest } from './manifest.ts';
import { createPostgresSource, readTables } from './postgres-rows.ts';
import { insertRows, tablesOf } from './sqlite-rows.ts';

/** Writes into a new or empty directory. Content is linked there as a second name of its file where possible. */
export async function backUpEmbedded(
  { database, directory, holdContent }: EmbeddedStorage['inside'],
  to: string,
  progress: Progress,
): Promise<BackupManifest> {
  prepare(to);
  const release = holdContent();
  try {
    await backUpDatabase(database, join(to, 'platform.db'));
    return await addContent(to, progress, async (name, size) => {
      const from = join(directory, 'content', name);
      if (createBlobStore(to).link(from, name)) return;
      await takeIn(to, name, createReadStream(from), size);
    });
  } finally {
    release();
  }
}

/** The same for a platform in PostgreSQL; `directory` is where its content is, if not in an S3 store. */
export async function backUpPostgres(
  source: CopyTarget & { directory: string },
  to: string,
  progress: Progress,
): Promise<BackupManifest> {
  const { clock } = progress;
  const connection = createConnection(source);
  const objects =
    source.objects === undefined
      ? createFileObjects(source.directory, () => Math.floor(clock.wallMs() / 1000))
      : createS3Objects(source.objects, clock);
  try {
    await assertReachable(connection, source);
    prepare(to);
    await saveRows(connection, join(to, 'platform.db'), progress);
    return await addContent(to, progress, async (name, size) => {
      await takeIn(to, name, objects.open(name).read({ first: 0, last: size - 1 }), size);
    });
  } finally {
    objects.close();
    await connection.close();
  }
}

function prepare(to: string): void {
  if (existsSync(to) && listDirectory(to).length > 0)
    throw new GweError(
      'PLATFORM_STATE',
      `cannot back up to '${to}': it is not empty, expected a new directory`,
    );
  ensureDirectory(to, 0o700);
  ensureDirectory(join(to, 'content'), 0o700);
}

/** All tables as of one moment. */
async function saveRows(
  { transaction }: ReturnType<typeof createConnection>,
  path: string,
  { say, signal }: Progress,
): Promise<void> {
  const database = openDatabase(path);
  try {
    await transaction(async (query) => {
      await query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY');
      const known = await readTables(query);
      const shapes = tablesOf(database).map(({ name, columns }) => ({
        name,
        columns: columns.filter((column) => known.get(name)?.some((each) => each.name === column)),
      }));
      database.exec('BEGIN');
      for (const shape of shapes.filter(({ columns }) => columns.length > 0)) {
        let count = 0;
        for await (const { rows } of createPostgresSource(query, known, shapes).read(shape, 0)) {
          signal.throwIfAborted();
          insertRows(database, shape, rows);
          count += rows.length;
        }
        if (count > 0) say(`${shape.name}: ${count} rows`);
      }
      database.exec('COMMIT; PRAGMA journal_mode = DELETE');
    });
  } finally {
    database.close();
  }
}

async function takeIn(
  to: string,
  name: string,
  source: AsyncIterable<Uint8Array>,
  size: number,
): Promise<void> {
  const blobs = createBlobStore(to);
  const { sizeBytes } = await blobs.receive(source, MAX_CONTENT_BYTES, name);
  if (sizeBytes !== size)
    throw new GweError(
      'PLATFORM_STATE',
      `cannot back up content: found ${sizeBytes} bytes, expected ${size}`,
    );
  blobs.adopt({ blob: name });
}

/** Adds the content that the database names, and then the manifest. */
async function addContent(
  to: string,
  { clock, say, signal }: Progress,
  add: (name: string, sizeBytes: number) => Promise<void>,
): Promise<BackupManifest> {
  const database = openBackedUp(join(to, 'platform.db'));
  const wanted = database.prepare('SELECT blob, size FROM content WHERE blob IS NOT NULL').all();
  database.close();
  const files: BackupFile[] = [await describeFile(to, 'platform.db')];
  for (const [index, { blob, size }] of wanted.entries()) {
    signal.throwIfAborted();
    await add(String(blob), Number(size));
    files.push(await describeFile(to, String(blob)));
    say(`content: ${index + 1} of ${wanted.length}`);
  }
  fsyncDirectory(join(to, 'content'));
  const manifest: BackupManifest = { version: 1, madeAt: Math.floor(clock.wallMs() / 1000), files };
  writeManifest(to, manifest);
  return manifest;
}
