/**
 * Content items: rows in PostgreSQL that refer to objects. The object is whole and durable before its row exists, and
 * is removed after it.
 */
import { randomBytes } from 'node:crypto';
import { GweError, wrapError } from '../../../base/errors.ts';
import type { ContentFacts, ContentItem, ContentStorage, Upload } from '../content-storage.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { toPage } from '../page.ts';
import { type Connection, NOW, type Query, type Row } from './connection.ts';
import { ensureProduct } from './device-table.ts';
import { announceObject, discardObject, retireObject, useObject } from './object-table.ts';

interface Context {
  connection: Connection;
  objects: ObjectStore;
}

interface StagedUpload extends Upload {
  /** Name of its object. */
  blob: string;
}

/** An item: content ids belong to one product each. */
interface Place {
  product: string;
  id: string;
}

export function createContentTable(context: Context): ContentStorage {
  const { connection, objects } = context;
  const { query } = connection;
  const staged = new WeakMap<Upload, StagedUpload>();
  return {
    listContent: async (product, { after = '', limit }) => {
      const sql = 'SELECT * FROM content WHERE product = $1 AND id > $2 ORDER BY id LIMIT $3';
      const items = (await query(sql, product, after, limit + 1)).map(toItem);
      return toPage(items, limit, ({ id }) => id);
    },
    findContent: async (product, id) => {
      const row = await findRow(query, { product, id });
      return row === undefined ? undefined : toItem(row);
    },
    createContent: (product, id, meta, isProtected) => createEntry(query, { product, id }, meta, isProtected),
    async receive(source, limitBytes) {
      const upload = await receive(context, source, limitBytes);
      staged.set(upload, upload);
      return upload;
    },
    fillContent: (product, id, type, upload) =>
      fillEntry(context, { product, id }, type, takeStaged(staged, upload)),
    putContent: (product, id, facts, upload) =>
      putEntry(context, { product, id }, facts, takeStaged(staged, upload)),
    deleteContent: (product, id) =>
      connection.transaction(async (tx) => {
        const sql = 'DELETE FROM content WHERE product = $1 AND id = $2 RETURNING blob';
        const [row] = await tx(sql, product, id);
        if (typeof row?.blob === 'string') await retireObject(tx, row.blob);
        return row !== undefined;
      }),
    openContent: async (product, id) => {
      const row = await findRow(query, { product, id });
      if (typeof row?.blob !== 'string') return undefined;
      return { item: toItem(row), ...objects.open(row.blob) };
    },
  };
}

async function receive(
  { connection: { query }, objects }: Context,
  source: AsyncIterable<Uint8Array>,
  limitBytes: number,
): Promise<StagedUpload> {
  const blob = randomBytes(16).toString('hex');
  await announceObject(query, blob);
  // If it cannot be removed now, it is collected later.
  const discard = (): Promise<void> => discardObject(query, objects, blob).catch(() => undefined);
  try {
    return { blob, ...(await objects.put(blob, source, limitBytes)), discard };
  } catch (error) {
    await discard();
    if (error instanceof GweError) throw error;
    throw wrapError(error, 'STORE_IO', 'cannot store an upload');
  }
}

function takeStaged(staged: WeakMap<Upload, StagedUpload>, upload: Upload): StagedUpload {
  const found = staged.get(upload);
  if (found === undefined) throw new Error('an upload that this storage did not receive, or that is used up');
  staged.delete(upload);
  return found;
}

async function createEntry(
  query: Query,
  { product, id }: Place,
  meta: string,
  isProtected: boolean,
): Promise<boolean> {
  await ensureProduct(query, product);
  const rows = await query(
    `INSERT INTO content (product, id, type, size, updated_at, meta, protected)
     VALUES ($1, $2, '', 0, ${NOW}, $3, $4) ON CONFLICT DO NOTHING RETURNING id`,
    product,
    id,
    meta,
    isProtected,
  );
  return rows.length > 0;
}

/** `updated_at` always grows, so that a client that has half of the old bytes can notice the change. */
async function fillEntry(
  { connection }: Context,
  place: Place,
  contentType: string,
  upload: StagedUpload,
): Promise<'done' | 'unknown' | 'filled'> {
  const isDone = await connection.transaction(async (query) => {
    const rows = await query(
      `UPDATE content SET type = $3, size = $4, updated_at = greatest(${NOW}, updated_at + 1), blob = $5
       WHERE product = $1 AND id = $2 AND blob IS NULL RETURNING id`,
      place.product,
      place.id,
      contentType,
      upload.sizeBytes,
      upload.blob,
    );
    if (rows.length > 0) await useObject(query, upload.blob);
    return rows.length > 0;
  });
  if (isDone) return 'done';
  return (await findRow(connection.query, place)) === undefined ? 'unknown' : 'filled';
}

async function putEntry(
  { connection }: Context,
  { product, id }: Place,
  { contentType, meta }: ContentFacts,
  upload: StagedUpload,
): Promise<ContentItem> {
  return connection.transaction(async (query) => {
    await ensureProduct(query, product);
    await createEntry(query, { product, id }, meta, false);
    const sql = 'SELECT blob FROM content WHERE product = $1 AND id = $2 FOR UPDATE';
    const [before] = await query(sql, product, id);
    const [row] = await query(
      `UPDATE content SET type = $3, size = $4, meta = $5, blob = $6,
         updated_at = greatest(${NOW}, updated_at + CASE WHEN blob IS NULL THEN 0 ELSE 1 END)
       WHERE product = $1 AND id = $2 RETURNING *`,
      product,
      id,
      contentType,
      upload.sizeBytes,
      meta,
      upload.blob,
    );
    if (row === undefined) throw new Error('stored content is not in its table');
    await useObject(query, upload.blob);
    if (typeof before?.blob === 'string') await retireObject(query, before.blob);
    return toItem(row);
  });
}

async function findRow(query: Query, { product, id }: Place): Promise<Row | undefined> {
  return (await query('SELECT * FROM content WHERE product = $1 AND id = $2', product, id))[0];
}

function toItem(row: Row): ContentItem {
  return {
    id: String(row.id),
    contentType: String(row.type),
    sizeBytes: Number(row.size),
    updatedAt: Number(row.updated_at),
    meta: String(row.meta),
    isProtected: row.protected === true,
    hasBlob: typeof row.blob === 'string',
  };
}
