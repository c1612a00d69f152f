/**
 * Objects that no content refers to. An object has a row here before its upload begins, so that nothing is left
 * behind by a process that dies. The transaction that makes it content removes the row, and the one that replaces it
 * writes the row again. So an object is in use or has a row, and whoever removes an object has claimed its row first.
 */
import { OBJECT_NAME, type ObjectStore } from '../objects/object-store.ts';
import { NOW, type Query } from './connection.ts';

/** For uploads that never became content, and for objects that the database does not know at all. */
const UNUSED_SECONDS = 24 * 3600;
/** A gateway that is still reading a replaced object has this long to ask for its next range. */
const REPLACED_SECONDS = 3600;
const MOST_ROWS = 500;

/** Called before the first byte is stored. */
export async function announceObject(query: Query, name: string): Promise<void> {
  const sql = `INSERT INTO object (name, remove_after) VALUES ($1, ${NOW} + ${UNUSED_SECONDS})`;
  await query(sql, name);
}

/** Part of the transaction that begins to refer to it. Throws where the object has been given up. */
export async function useObject(query: Query, name: string): Promise<void> {
  const rows = await query('DELETE FROM object WHERE name = $1 AND NOT removing RETURNING name', name);
  if (rows.length === 0) throw new Error('an upload that is used up, or that took longer than a day');
}

/** Part of the transaction that ceases to refer to it. */
export async function retireObject(query: Query, name: string): Promise<void> {
  await query(`INSERT INTO object (name, remove_after) VALUES ($1, ${NOW} + ${REPLACED_SECONDS})`, name);
}

/** Removes the object now, unless it is in use. */
export async function discardObject(query: Query, objects: ObjectStore, name: string): Promise<void> {
  const rows = await query('UPDATE object SET removing = true WHERE name = $1 RETURNING name', name);
  if (rows.length > 0) await removeClaimed(query, objects, name);
}

async function removeClaimed(query: Query, objects: ObjectStore, name: string): Promise<void> {
  await objects.remove(name);
  await query('DELETE FROM object WHERE name = $1 AND removing', name);
}

/** Removes the objects whose time has come. Returns how many. */
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

/**
 * Notes the objects that are older than a day and unknown to the database, such as after a restore of the database.
 */
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
