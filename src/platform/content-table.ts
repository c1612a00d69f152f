/** Content items: rows in SQLite that refer to blob files. The file is whole and durable before its row, and goes after it. */
import type { DatabaseSync } from 'node:sqlite';
import type { BlobStore, StagedUpload } from './blobs.ts';
import { ensureProduct } from './device-table.ts';
import { transaction } from './sqlite.ts';
import type { ContentItem, Storage, Upload } from './storage.ts';

export type ContentTable = Pick<
  Storage,
  | 'listContent'
  | 'findContent'
  | 'createContent'
  | 'receive'
  | 'fillContent'
  | 'putContent'
  | 'deleteContent'
  | 'openContent'
>;

interface Context {
  database: DatabaseSync;
  blobs: BlobStore;
  nowSeconds(): number;
}

interface Row {
  item: ContentItem;
  blob: string | undefined;
}

export function createContentTable(context: Context): ContentTable {
  const { database, blobs } = context;
  const staged = new WeakMap<Upload, StagedUpload>();
  const find = (product: string, id: string): Row | undefined => findRow(database, product, id);
  return {
    listContent: async (product) =>
      database
        .prepare('SELECT * FROM content WHERE product = ? ORDER BY id')
        .all(product)
        .map((row) => toRow(row).item),
    findContent: async (product, id) => find(product, id)?.item,
    createContent: async (product, id, meta, isProtected) =>
      createEntry(context, product, id, meta, isProtected),
    async receive(source, limitBytes) {
      const upload = await blobs.receive(source, limitBytes);
      staged.set(upload, upload);
      return upload;
    },
    fillContent: async (product, id, type, upload) => {
      const row = find(product, id);
      if (row === undefined) return 'unknown';
      if (row.blob !== undefined) return 'filled';
      storeBlob(context, product, id, type, row.item.meta, takeStaged(staged, upload));
      return 'done';
    },
    putContent: async (product, id, type, meta, upload) =>
      storeBlob(context, product, id, type, meta, takeStaged(staged, upload)),
    deleteContent: async (product, id) => {
      const row = find(product, id);
      if (row === undefined) return false;
      database.prepare('DELETE FROM content WHERE product = ? AND id = ?').run(product, id);
      if (row.blob !== undefined) blobs.remove(row.blob);
      return true;
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

function createEntry(
  { database, nowSeconds }: Context,
  product: string,
  id: string,
  meta: string,
  isProtected: boolean,
): boolean {
  return transaction(database, () => {
    ensureProduct(database, product);
    const result = database
      .prepare(
        `INSERT INTO content (product, id, type, size, updated_at, meta, protected)
         VALUES (?, ?, '', 0, ?, ?, ?) ON CONFLICT DO NOTHING`,
      )
      .run(product, id, nowSeconds(), meta, isProtected ? 1 : 0);
    return Number(result.changes) > 0;
  });
}

/** `updated_at` always grows, so that a client with half of the old bytes can tell that they are old. */
function storeBlob(
  context: Context,
  product: string,
  id: string,
  type: string,
  meta: string,
  upload: StagedUpload,
): ContentItem {
  const { database, blobs, nowSeconds } = context;
  const before = findRow(database, product, id);
  const updatedAt = Math.max(nowSeconds(), before === undefined ? 0 : before.item.updatedAt + 1);
  blobs.adopt(upload);
  transaction(database, () => {
    ensureProduct(database, product);
    database
      .prepare(
        `INSERT INTO content (product, id, type, size, updated_at, meta, protected, blob)
         VALUES (?, ?, ?, ?, ?, ?, 0, ?)
         ON CONFLICT (product, id) DO UPDATE SET type = excluded.type, size = excluded.size,
           updated_at = excluded.updated_at, meta = excluded.meta, blob = excluded.blob`,
      )
      .run(product, id, type, upload.sizeBytes, updatedAt, meta, upload.blob);
  });
  if (before?.blob !== undefined) blobs.remove(before.blob);
  const after = findRow(database, product, id);
  if (after === undefined) throw new Error('stored content is not in its table');
  return after.item;
}

function findRow(database: DatabaseSync, product: string, id: string): Row | undefined {
  const row = database.prepare('SELECT * FROM content WHERE product = ? AND id = ?').get(product, id);
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
