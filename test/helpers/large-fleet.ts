/** A fleet of many gateways in the database of an embedded platform, put there as rows: their own requests would take an hour. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** Adds them to product `p`, which has to be there, while the platform is closed. Every 50th is silent, every 97th fails. */
export function seedGateways(directory: string, count: number): void {
  const database = new DatabaseSync(join(directory, 'platform.db'));
  const device = database.prepare(
    `INSERT INTO device (id, product, serial, rid, state, enabled_at, last_seen_at)
     VALUES (?, 'p', ?, ?, 'activated', ?, ?)`,
  );
  const gateway = database.prepare('INSERT INTO fleet_gateway (device, knowledge) VALUES (?, ?)');
  const nowS = Math.floor(Date.now() / 1000);
  database.exec('BEGIN');
  for (let at = 1; at <= count; at++) {
    const id = 1_000_000 + at;
    const seenAt = at % 50 === 0 ? nowS - 30 * 86_400 : nowS;
    device.run(id, `gw-${String(at).padStart(6, '0')}`, id.toString(16).padStart(40, '0'), nowS, seenAt);
    gateway.run(id, JSON.stringify(knowledgeOf(at, nowS)));
  }
  database.exec('COMMIT');
  database.close();
}

export function knowledgeOf(at: number, seenAt: number): object {
  const app = {
    version: `1.${at % 7}`,
    status: at % 97 === 0 ? 'FATAL' : 'RUNNING',
    previous: '1.0',
    seenAt,
  };
  const failures = { greatest: 0, isBehind: false, returns: 0 };
  return {
    gweVersion: '2.1.0',
    target: 'linux-arm64',
    intervalS: 14_400,
    apps: [['hello', app]],
    traces: { boots: [], bootTimes: [], failures, addresses: [] },
  };
}
