/**
 * A backup is a directory that a platform could be served from, with `platform.db` and the files of its content,
 * whatever database the platform was in; and `manifest.json`, written last, with the digest of each file.
 */
import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { GweError } from '../../../base/errors.ts';
import { readTextBounded, writeFileDurable } from '../../../base/fs.ts';
import { OBJECT_NAME } from '../objects/object-store.ts';
import { openBackedUp } from '../sqlite/database.ts';

const FileSchema = v.object({
  /** For a blob, its name in `content`. */
  name: v.pipe(
    v.string(),
    v.check((name) => OBJECT_NAME.test(name) || name === 'platform.db'),
  ),
  sizeBytes: v.pipe(v.number(), v.minValue(0)),
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
});

const ManifestSchema = v.object({
  version: v.literal(1),
  /** Unix seconds. */
  madeAt: v.number(),
  /** The database comes first. */
  files: v.array(FileSchema),
});

export type BackupManifest = v.InferOutput<typeof ManifestSchema>;
export type BackupFile = v.InferOutput<typeof FileSchema>;

const MANIFEST = 'manifest.json';
const MAX_MANIFEST_BYTES = 256 * 1024 * 1024;

export function writeManifest(directory: string, manifest: BackupManifest): void {
  writeFileDurable(join(directory, MANIFEST), `${JSON.stringify(manifest)}\n`, 0o600);
}

function readManifest(directory: string): BackupManifest {
  const text = readTextBounded(join(directory, MANIFEST), MAX_MANIFEST_BYTES);
  if (text === undefined)
    throw fault(directory, `there is no ${MANIFEST} in it: not a backup, or an unfinished one`);
  try {
    return v.parse(ManifestSchema, JSON.parse(text));
  } catch (cause) {
    throw new GweError('PLATFORM_STATE', `cannot use backup '${directory}': its ${MANIFEST} is damaged`, {
      cause,
    });
  }
}

export function pathOf(directory: string, name: string): string {
  return name === 'platform.db' ? join(directory, name) : join(directory, 'content', name);
}

export async function describeFile(directory: string, name: string): Promise<BackupFile> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of createReadStream(pathOf(directory, name))) {
    const bytes = Buffer.from(chunk);
    sizeBytes += bytes.length;
    hash.update(bytes);
  }
  return { name, sizeBytes, sha256: hash.digest('hex') };
}

/**
 * Reads the whole backup: checks the digest of each file, that the database is intact, and that all content it names
 * is there.
 */
export async function verifyBackup(directory: string, signal: AbortSignal): Promise<BackupManifest> {
  const manifest = readManifest(directory);
  const sizes = new Map(manifest.files.map(({ name, sizeBytes }) => [name, sizeBytes]));
  if (!sizes.has('platform.db')) throw fault(directory, 'its manifest names no platform.db');
  for (const { name, sizeBytes, sha256 } of manifest.files) {
    signal.throwIfAborted();
    const path = pathOf(directory, name);
    if (statSync(path, { throwIfNoEntry: false }) === undefined)
      throw fault(directory, `'${path}' is missing`);
    const found = await describeFile(directory, name);
    if (found.sha256 !== sha256)
      throw fault(
        directory,
        `'${path}' has ${found.sizeBytes} bytes with sha256 ${found.sha256}, expected ${sizeBytes} with ${sha256}`,
      );
  }
  const database = openBackedUp(join(directory, 'platform.db'));
  try {
    const rows = database.prepare('SELECT id, blob, size FROM content WHERE blob IS NOT NULL').all();
    for (const { id, blob, size } of rows)
      if (sizes.get(String(blob)) !== Number(size))
        throw fault(directory, `the bytes of content '${id}' are not in it`);
  } finally {
    database.close();
  }
  return manifest;
}

function fault(directory: string, found: string): GweError {
  return new GweError('PLATFORM_STATE', `cannot use backup '${directory}': ${found}`);
}
