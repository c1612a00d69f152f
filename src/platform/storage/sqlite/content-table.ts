/**
 * Content items: rows in SQLite that refer to blob files. The file is whole and durable before its row exists, and is
 * removed after it.
 */
import type { ContentFacts, ContentItem, ContentStorage, Upload } from '../content-storage.ts';
import { toPage } from '../page.ts';
import type { BlobStore, StagedUpload } from './blobs.ts';
import type { Connection } from './connection.ts';
import { ensureProduct } from './device-table.ts';

interface Context {
  connection: Connection;
  blobs: BlobStore;
  nowSeconds(): number;
}

/** An item: content ids belong to one product each. */
interface Place {
  product: string;
  id: string;
}

interface Row {
  item: ContentItem;
  blob: string | undefined;
}

export function createContentTable(context: Context): ContentStorage {
  const { connection, blobs } = context;
  const staged = new WeakMap<Upload, StagedUpload>();
  const find = (product: string, id: string): Row | undefined => findRow(connection, { product, id });
  return {
    listContent: async (product, { after = '', limit }) => {
      const rows = connection
        .statement('SELECT * FROM content WHERE product = ? AND id > ? ORDER BY id LIMIT ?')
        .all(product, after, limit + 1);
      return toPage(
        rows.map((row) => toRow(row).item),
        limit,
        ({ id }) => id,
      );
    },
    findContent: async (product, id) => find(product, id)?.item,
    createContent: async (product, id, meta, isProtected) =>
      connection.commit(() => createEntry(context, { product, id }, meta, isProtected)),
    async receive(source, limitBytes) {
      const upload = await blobs.receive(source, limitBytes);
      staged.set(upload, upload);
      return upload;
    },
    fillContent: async (product, id, type, upload) =>
      fillEntry(context, { product, id }, type, takeStaged(staged, upload)),
    putContent: async (product, id, facts, upload) =>
      putEntry(context, { product, id }, facts, takeStaged(staged, upload)),
    deleteContent: async (product, id) => {
      const row = await connection.commit(() =>
        connection
          .statement('DELETE FROM content WHERE product = ? AND id = ? RETURNING blob')
          .get(product, id),
      );
      if (typeof row?.blob === 'string') await blobs.remove(row.blob);
      return row !== undefined;
    },
    openContent: async (product, id) => {
      const row = find(product, id);
      if (row?.blob === undefined) return undefined;
      return { item: row.item, ...blobs.open(row.blob) };
    },
  };
}

function takeStaged(staged: WeakMap<Upload, StagedUpload>, upload: Upload): StagedUpload {
  const found = staged.get(upload);
  if (found === undefined) throw new Error('an upload that this storage did not receive, or that is used up');
  staged.delete(upload);
  return found;
}

/** Part of a commit. */
function createEntry(
  { connection, nowSeconds }: Context,
  { product, id }: Place,
  meta: string,
  isProtected: boolean,
): boolean {
  ensureProduct(connection, product);
  const result = connection
    .statement(
      `INSERT INTO content (product, id, type, size, updated_at, meta, protected)
       VALUES (?, ?, '', 0, ?, ?, ?) ON CONFLICT DO NOTHING`,
    )
    .run(product, id, nowSeconds(), meta, isProtected ? 1 : 0);
  return Number(result.changes) > 0;
}

/** `updated_at` always grows, so that a client that has half of the old bytes can notice the change. */
async function fillEntry(
  { connection, blobs, nowSeconds }: Context,
  place: Place,
  contentType: string,
  upload: StagedUpload,
): Promise<'done' | 'unknown' | 'filled'> {
  blobs.adopt(upload);
  const result = await connection.commit(() => {
    const changes = connection
      .statement(
        `UPDATE content SET type = ?, size = ?, updated_at = max(?, updated_at + 1), blob = ?
         WHERE product = ? AND id = ? AND blob IS NULL`,
      )
      .run(contentType, upload.sizeBytes, nowSeconds(), upload.blob, place.product, place.id).changes;
    if (Number(changes) > 0) return 'done';
    return findRow(connection, place) === undefined ? 'unknown' : 'filled';
  });
  if (result !== 'done') await blobs.remove(upload.blob);
  return result;
}

async function putEntry(
  { connection, blobs, nowSeconds }: Context,
  place: Place,
  { contentType, meta }: ContentFacts,
  upload: StagedUpload,
): Promise<ContentItem> {
  blobs.adopt(upload);
  const { before, after } = await connection.commit(() => {
    const before = findRow(connection, place);
    ensureProduct(connection, place.product);
    const row = connection
      .statement(
        `INSERT INTO content (product, id, type, size, updated_at, meta, protected, blob)
         VALUES (?, ?, ?, ?, ?, ?, 0, ?)
         ON CONFLICT (product, id) DO UPDATE SET type = excluded.type, size = excluded.size,
           updated_at = max(excluded.updated_at, updated_at + 1), meta = excluded.meta, blob = excluded.blob
         RETURNING *`,
      )
      .get(place.product, place.id, contentType, upload.sizeBytes, nowSeconds(), meta, upload.blob);
    if (row === undefined) throw new Error('stored content is not in its table');
    return { before, after: toRow(row).item };
  });
  if (before?.blob !== undefined) await blobs.remove(before.blob);
  return after;
}

function findRow(connection: Connection, { product, id }: Place): Row | undefined {
  const row = connection.statement('SELECT * FROM content WHERE product = ? AND id = ?').get(product, id);
  return row === undefined ? undefined : toRow(row);
}

function toRow(row: Record<string, unknown>): Row {
  const blob = typeof row.blob === 'string' ? row.blob : undefined;
  return {
    blob,
    item: {
      id: String(row.id),
      contentType: String(row.type),
      sizeBytes: Number(row.size),
      updatedAt: Number(row.updated_at),
      meta: String(row.meta),
      isProtected: Number(row.protected) === 1,
      hasBlob: blob !== undefined,
    },
  };
}
