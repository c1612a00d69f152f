/** The least that a check-in could be: one row read, one synced UPDATE. `minimal-server.ts DATABASE`; prints its URL. */
import * as http from 'node:http';
import { DatabaseSync } from 'node:sqlite';

const database = new DatabaseSync(process.argv[2] ?? '');
database.exec(
  `PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
   CREATE TABLE seen (key TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID`,
);
const note = database.prepare(
  'INSERT INTO seen VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET at = excluded.at',
);
const server = http.createServer((request, response) => {
  note.run(String(request.headers['x-exosite-cik']), Date.now());
  response.end('engine_fetch=');
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object' && address !== null) console.log(`http://127.0.0.1:${address.port}`);
});
