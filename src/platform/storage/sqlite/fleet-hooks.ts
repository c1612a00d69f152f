/**
 * What the fleet does within the transaction of a device's own request: it learns from what is written, and decides
 * what is shown.
 */
import { type FleetEvent, learn } from '../../../fleet/gateway/learn.ts';
import { decodeKnowledge, encodeKnowledge } from '../fleet-rows.ts';
import {
  applyNews,
  COMMAND_ALIAS,
  concernsRollouts,
  decideOne,
  inDecidingOrder,
  isWatched,
  type News,
  usesBefore,
} from '../fleet-steps.ts';
import type { Connection } from './connection.ts';
import { changePair, hasOpenMember, pairsOfDevice } from './fleet-members.ts';

export interface DeviceWrite {
  readonly alias: string;
  readonly value: string;
  readonly before: string;
  readonly at: number;
  readonly sequence: number;
  readonly address?: string | undefined;
}

export interface FleetHooks {
  isWatched(alias: string): boolean;
  /** Whether the value before a write to this alias is needed. */
  usesBefore(alias: string): boolean;
  /** Part of a commit: the device has written these watched values. */
  written(deviceId: number, writes: readonly DeviceWrite[]): void;
  isDue(deviceId: number, aliases: readonly string[]): boolean;
  /**
   * Part of a commit: the device is about to read its command. Returns the text to put there, empty to take one back,
   * and `undefined` to leave what is there.
   */
  decide(deviceId: number, current: string, at: number): string | undefined;
}

/** `join`: part of a commit, takes a gateway of which something is new into the rollouts that follow. */
export function createFleetHooks(
  connection: Connection,
  join: (deviceId: number, at: number) => void,
): FleetHooks {
  return {
    isWatched,
    usesBefore,
    written(deviceId, writes) {
      const isNew = written(connection, deviceId, writes);
      if (isNew) join(deviceId, writes[0]?.at ?? 0);
    },
    isDue: (deviceId, aliases) => aliases.includes(COMMAND_ALIAS) && hasOpenMember(connection, deviceId),
    decide: (deviceId, current, at) => decide(connection, deviceId, current, at),
  };
}

/** Returns whether something is known of the gateway that was not before. */
function written(connection: Connection, deviceId: number, writes: readonly DeviceWrite[]): boolean {
  if (writes.length === 0) return false;
  const row = connection.statement('SELECT knowledge FROM fleet_gateway WHERE device = ?').get(deviceId);
  const before = decodeKnowledge(row?.knowledge);
  let knowledge = before;
  const news: News[] = [];
  for (const write of writes) {
    const learnt = learn(knowledge, write);
    knowledge = learnt.knowledge;
    const fresh = learnt.events.filter((event) => addEvent(connection, deviceId, event));
    news.push({ learnt, fresh, at: write.at });
  }
  if (knowledge !== before) {
    const sql = 'INSERT OR REPLACE INTO fleet_gateway (device, knowledge) VALUES (?, ?)';
    connection.statement(sql).run(deviceId, encodeKnowledge(knowledge));
  }
  tellRollouts(connection, deviceId, news.filter(concernsRollouts));
  return knowledge !== before;
}

/** False if the event exists already. */
function addEvent(connection: Connection, deviceId: number, event: FleetEvent): boolean {
  const { key, at, kind, app = '', version = '', status, text } = event;
  const { outcome = '', code = '', command = '' } = status ?? {};
  const sql = `INSERT OR IGNORE INTO fleet_event (device, key, at, kind, app, version, outcome, code, command, text)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
  const added = connection
    .statement(sql)
    .run(deviceId, key, at, kind, app, version, outcome, code, command, text);
  return Number(added.changes) > 0;
}

function tellRollouts(connection: Connection, deviceId: number, news: readonly News[]): void {
  if (news.length === 0) return;
  for (const pair of pairsOfDevice(connection, deviceId))
    changePair(connection, pair, (now) => news.reduce(applyNews, now));
}

function decide(connection: Connection, deviceId: number, current: string, at: number): string | undefined {
  let text = current;
  const sql = `SELECT (SELECT reason FROM fleet_hold WHERE device = ?1) AS hold,
    (SELECT knowledge FROM fleet_gateway WHERE device = ?1) AS knowledge`;
  const row = connection.statement(sql).get(deviceId);
  const hold = typeof row?.hold === 'string' ? row.hold : undefined;
  const { gweVersion } = decodeKnowledge(row?.knowledge);
  for (const pair of inDecidingOrder(pairsOfDevice(connection, deviceId)))
    changePair(connection, pair, (now) => {
      const [next, shown] = decideOne(now, text, { at, hold, gweVersion });
      text = shown;
      return next;
    });
  return text === current ? undefined : text;
}
