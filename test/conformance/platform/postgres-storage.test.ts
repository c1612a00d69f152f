/** PostgreSQL holds to what every storage of the platform holds to, and several processes share it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { createConnection } from '../../../src/platform/storage/postgres/connection.ts';
import { openPostgresStorage } from '../../../src/platform/storage/postgres/postgres-storage.ts';
import { migrate } from '../../../src/platform/storage/postgres/schema.ts';
import { startPostgres } from '../../helpers/postgres.ts';
import { storageSuite } from '../../helpers/storage-suite.ts';
import { activated, eventually } from '../../helpers/storage-suite-context.ts';

const clock = createSystemClock();
const server = await startPostgres();
after(() => server.end());

const home = mkdtempSync(join(tmpdir(), 'gwe-storage-'));
after(() => rmSync(home, { recursive: true, force: true }));

function folder(): string {
  return mkdtempSync(join(home, 'content-'));
}

storageSuite('PostgreSQL', async (options = {}) => {
  const where = { url: server.freshUrl(), directory: folder(), clock };
  const under = {
    storage: await openPostgresStorage({ ...options, ...where }),
    async reopen(again = options) {
      await under.storage.close();
      under.storage = await openPostgresStorage({ ...again, ...where });
      return under.storage;
    },
    end: () => under.storage.close(),
  };
  return under;
});

test('a database that cannot store every character is refused before it has a table', async () => {
  const url = server.freshUrl();
  const admin = createConnection({ url });
  const latin = new URL(url);
  latin.pathname += '_latin';
  const connection = createConnection({ url: latin.href });
  try {
    await admin.query(
      `CREATE DATABASE ${latin.pathname.slice(1)} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`,
    );
    await assert.rejects(migrate(connection), { code: 'PLATFORM_STATE', message: /LATIN1, expected UTF8/ });
    const [row] = await connection.query("SELECT to_regclass('gwe_schema') AS found");
    assert.equal(row?.found, null);
  } finally {
    await connection.close();
    await admin.close();
  }
});

test('two processes make the tables of an empty database together, share its secrets, and hear of commands', async () => {
  const where = { url: server.freshUrl(), directory: folder(), clock };
  const [one, two] = await Promise.all([openPostgresStorage(where), openPostgresStorage(where)]);
  try {
    const [first, second] = await Promise.all([one.secret('s', 48, 60), two.secret('s', 48, 60)]);
    assert.ok(first.equals(second) && first.length === 48);
    assert.ok(!first.equals(await two.secret('s', 48, -1)), 'one that is too old is replaced');
    const { device, cik } = await activated(one, 'p', 'gw');
    const heard: number[] = [];
    two.onWrite((ids) => heard.push(...(ids ?? [])));
    await one.write(device.id, [['engine_fetch', 'A']], 'operator');
    await eventually('the other process hears of the command', async () => heard.includes(device.id));
    const shown = await two.checkIn({ cik, writes: [], reads: ['engine_fetch'] });
    assert.ok(shown.kind === 'done' && shown.values[0]?.value === 'A');
    await one.write(device.id, [['engine_fetch', 'B']], 'operator');
    const cleared = await two.checkIn({ cik, writes: [['engine_fetch', '']], reads: ['engine_fetch'] });
    assert.ok(cleared.kind === 'done' && cleared.values[0]?.value === 'B', 'whichever process showed it');
  } finally {
    await one.close();
    await two.close();
  }
});

test('after a crash of the database what was acknowledged is there, and what was missed is looked for', async () => {
  const storage = await openPostgresStorage({ url: server.freshUrl(), directory: folder(), clock });
  try {
    const { device, cik } = await activated(storage, 'p', 'gw');
    let isAny = false;
    storage.onWrite((ids) => {
      isAny ||= ids === undefined;
    });
    await storage.checkIn({ cik, writes: [['a', '1']], reads: [] });
    await server.crash();
    await eventually('the storage listens again', async () => isAny);
    await eventually('the storage answers again', () =>
      storage.read(device.id, ['a']).then(
        ([value]) => value?.value === '1',
        () => false,
      ),
    );
  } finally {
    await storage.close();
  }
});

test('a newer database is refused and left as it is; one that cannot be reached is named without its password', async () => {
  const url = server.freshUrl();
  const connection = createConnection({ url });
  assert.deepEqual(await migrate(connection), { from: 0, to: 2 });
  assert.deepEqual(await migrate(connection), { from: 2, to: 2 });
  await connection.query('UPDATE gwe_schema SET version = 99');
  const open = (at: string) => openPostgresStorage({ url: at, directory: folder(), clock });
  await assert.rejects(open(url), { code: 'PLATFORM_SCHEMA', message: /schema version 99.*newer gwe/ });
  await assert.rejects(migrate(connection), { code: 'PLATFORM_SCHEMA', message: /schema version 99/ });
  await connection.close();
  await assert.rejects(open('postgres://gwe:secret-word@127.0.0.1:1/x'), (error: Error) => {
    assert.match(error.message, /cannot reach the database at '127\.0\.0\.1:1'/);
    assert.doesNotMatch(error.message, /secret-word/);
    return true;
  });
});

test('a database that wants TLS and a password gets both, and nothing is sent to one with another certificate', async () => {
  const { url, password, caFile } = server.guarded();
  const opened = (query: string, secret: string) =>
    openPostgresStorage({ url: `${url}?${query}`, password: secret, directory: folder(), clock });
  const secure = `sslmode=verify-full&sslrootcert=${encodeURIComponent(caFile)}`;
  const storage = await opened(secure, password);
  try {
    const { device, cik } = await activated(storage, 'p', 'gw');
    const heard: number[] = [];
    storage.onWrite((ids) => heard.push(...(ids ?? [])));
    await storage.write(device.id, [['engine_fetch', 'A']], 'operator');
    await eventually('it listens over TLS too', async () => heard.includes(device.id));
    const shown = await storage.checkIn({ cik, writes: [], reads: ['engine_fetch'] });
    assert.ok(shown.kind === 'done' && shown.values[0]?.value === 'A');
  } finally {
    await storage.close();
  }
  await assert.rejects(opened(secure, 'wrong'), /password authentication failed/);
  await assert.rejects(opened('sslmode=verify-full', password), /certificate; name .* by sslrootcert=FILE/);
  await assert.rejects(opened('sslmode=disable', password), /no pg_hba.conf entry/);
});
