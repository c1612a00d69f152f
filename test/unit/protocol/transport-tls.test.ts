import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PeerCertificate } from 'node:tls';
import { memoryTickets, openTicket } from '../../../src/protocol/transport-tls.ts';

const DAY_MS = 24 * 3600 * 1000;
const NOON_MS = Date.parse('2030-06-01T12:00:00Z');

function worldAt(ms: number) {
  const clock = { nowMs: ms, wallMs: () => clock.nowMs };
  const tickets = memoryTickets();
  const connect = (trust = 'a') => openTicket(tickets, trust, clock);
  const shown = (endMs: number, isResumed = false) => ({
    isSessionReused: () => isResumed,
    getPeerCertificate: () =>
      ({ valid_from: new Date(0).toUTCString(), valid_to: new Date(endMs).toUTCString() }) as PeerCertificate,
  });
  return { clock, connect, shown };
}

test('a ticket counts under the trust that it was got under, and under no other', () => {
  const { connect, shown } = worldAt(NOON_MS);
  connect().keep(Buffer.from('t'), shown(NOON_MS + DAY_MS) as never);
  assert.equal(connect().session?.toString(), 't');
  assert.equal(connect('b').session, undefined);
});

test('a ticket ends with the certificate that was checked, and so do those that are got by it', () => {
  const { clock, connect, shown } = worldAt(NOON_MS);
  connect().keep(Buffer.from('one'), shown(NOON_MS + DAY_MS) as never);
  clock.nowMs += DAY_MS - 1;
  const second = connect();
  assert.equal(second.session?.toString(), 'one');
  second.keep(Buffer.from('two'), shown(NOON_MS + 9 * DAY_MS, true) as never);
  assert.equal(connect().session?.toString(), 'two');
  clock.nowMs += 1;
  assert.equal(connect().session, undefined);
});

test('the other certificates are seen again after a week, however long the own one is valid', () => {
  const { clock, connect, shown } = worldAt(NOON_MS);
  connect().keep(Buffer.from('t'), shown(NOON_MS + 900 * DAY_MS) as never);
  clock.nowMs += 7 * DAY_MS - 1;
  assert.ok(connect().session);
  clock.nowMs += 1;
  assert.equal(connect().session, undefined);
});

test('a clock that has gone back, and a certificate without an end, have the certificate checked again', () => {
  const { clock, connect, shown } = worldAt(NOON_MS);
  connect().keep(Buffer.from('t'), shown(NOON_MS + DAY_MS) as never);
  clock.nowMs -= 1;
  assert.equal(connect().session, undefined);
  connect().keep(Buffer.from('t'), { ...shown(0), getPeerCertificate: () => ({}) } as never);
  assert.equal(connect().session, undefined);
});
