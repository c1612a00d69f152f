/** Secrets of the platform itself, in SQLite. */
import { randomBytes } from 'node:crypto';
import type { Connection } from './connection.ts';

/** Part of a commit. */
export function ensureSecret(
  connection: Connection,
  { name, sizeBytes, maxAgeSeconds }: { name: string; sizeBytes: number; maxAgeSeconds: number },
  now: number,
): Buffer {
  const row = connection
    .statement(
      `INSERT INTO secret (name, value, made_at) VALUES (?, ?, ?)
       ON CONFLICT (name) DO UPDATE SET
         value = CASE WHEN excluded.made_at - made_at > ?4 THEN excluded.value ELSE value END,
         made_at = CASE WHEN excluded.made_at - made_at > ?4 THEN excluded.made_at ELSE made_at END
       RETURNING value`,
    )
    .get(name, randomBytes(sizeBytes), now, maxAgeSeconds);
  if (!(row?.value instanceof Uint8Array)) throw new Error('a secret is not in its table');
  return Buffer.from(row.value);
}
