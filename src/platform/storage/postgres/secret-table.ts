/** Secrets of the platform itself in PostgreSQL, shared by all replicas. */
import { randomBytes } from 'node:crypto';
import { NOW, type Query } from './connection.ts';

export async function ensureSecret(
  query: Query,
  { name, sizeBytes, maxAgeSeconds }: { name: string; sizeBytes: number; maxAgeSeconds: number },
): Promise<Buffer> {
  const [row] = await query(
    `INSERT INTO secret (name, value, made_at) VALUES ($1, $2, ${NOW})
     ON CONFLICT (name) DO UPDATE SET
       value = CASE WHEN excluded.made_at - secret.made_at > $3 THEN excluded.value ELSE secret.value END,
       made_at = CASE WHEN excluded.made_at - secret.made_at > $3 THEN excluded.made_at ELSE secret.made_at END
     RETURNING value`,
    name,
    randomBytes(sizeBytes),
    maxAgeSeconds,
  );
  if (!(row?.value instanceof Uint8Array)) throw new Error('a secret is not in its table');
  return Buffer.from(row.value);
}
