/**
 * Objects that no content refers to. One has a row here before its upload begins, so that nothing is left behind by
 * whoever dies; the transaction that makes it content takes the row away, and the one that replaces it writes it again.
 * Hence an object is in use, or has a row, and who removes it has claimed that row.
 */
import { OBJECT_NAME, type ObjectStore } from '../objects/object-store.ts';
import { NOW, type Query } from './connection.ts';

/** What was uploaded and never became content, and what the database does not know at all. */
const UNUSED_SECONDS = 24 * 3600;
/** A gateway that is reading what was replaced has so long for its next range. */
const REPLACED_SECONDS = 3600;
const MOST_ROWS = 500;

/** Before the first byte is stored. */
export async function announceObject(query: Query, name: string): Promise<void> {
  const sql = `INSERT INTO object (name, remove_after) VALUES ($1, ${NOW} + ${UNUSED_SECONDS})`;
  await query(sql, name);
}

/** Part of the transaction that refers to it. Throws where it has been given up. */
export async function useObject(query: Query, name: string): Promise<void> {
  const rows = await query('DELETE FROM object WHERE name = $1 AND NOT removing RETURNING name', name);
  if (rows.length === 0) throw new Error('an upload that is used up, or that took longer than a day');
}

/** Part of the transaction that refers to it no longer. */
export async function retireObject(query: Query, name: string): Promise<void> {
  await query(`INSERT INTO object (name, remove_after) VALUES ($1, ${NOW} + ${REPLACED_SECONDS})`, name);
}

/** Removes it now, unless it is in use. */
export async function discardObject(query: Query, objects: ObjectStore, name: string): Promise<void> {
  const rows = await query('UPDATE object SET removing = true WHERE name = $1 RETURNING name', name);
  if (rows.length > 0) await removeClaimed(query, objects, name);
}

async function removeClaimed(query: Query, objects: ObjectStore, name: string): Promise<void> {
  await objects.remove(name);
  await query('DELETE FROM object WHERE name = $1 AND removing', name);
}

/** Removes what is due. Returns how many. */
export async function collectObjects(query: Query, objects: ObjectStore): Promise<number> {
  for (let removed = 0; ; ) {
    const due = await query(
      `UPDATE object SET removing = true WHERE name IN (
         SELECT name FROM object WHERE removing OR remove_after <= ${NOW} LIMIT ${MOST_ROWS}) RETURNING name`,
    );
    for (const { name } of due) await removeClaimed(query, objects, String(name));
    removed += due.length;
    if (due.length < MOST_ROWS) return removed;
  }
}

/** Notes the objects that are older than a day and that nothing knows: of a database that was restored, say. */
export async function noteUnknownObjects(
  query: Query,
  objects: ObjectStore,
  nowSeconds: number,
): Promise<void> {
  let names: string[] = [];
  const note = async (): Promise<void> => {
    const unknown = `INSERT INTO object (name, remove_after)
      SELECT name, ${NOW} FROM unnest($1::text[]) AS found (name)
      WHERE NOT EXISTS (SELECT 1 FROM content WHERE blob = found.name) ON CONFLICT DO NOTHING`;
    if (names.length > 0) await query(unknown, names);
    names = [];
  };
  for await (const { name, modifiedAt } of objects.list()) {
    if (modifiedAt > nowSeconds - UNUSED_SECONDS || !OBJECT_NAME.test(name)) continue;
    names.push(name);
    if (names.length === MOST_ROWS) await note();
  }
  await note();
  await objects.endOldUploads(UNUSED_SECONDS);
}
