import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as net from 'node:net';
import { type TestContext, test } from 'node:test';
import { addressKey } from '../../../src/platform/http/client-address.ts';
import { createPlaces } from '../../../src/platform/server/places.ts';

/** Connections as the platform has them, each with another one at its other end. */
async function connections(t: TestContext): Promise<() => Promise<net.Socket>> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const open: net.Socket[] = [];
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return async () => {
    const theirs = net.connect(address.port, '127.0.0.1');
    theirs.on('error', () => undefined);
    const [ours]: net.Socket[] = await once(server, 'connection');
    assert.ok(ours !== undefined);
    open.push(theirs, ours);
    return ours;
  };
}

function createCounted(limits: { total: number; each: number }) {
  const full: string[] = [];
  return { full, places: createPlaces({ ...limits, full: (limit) => full.push(limit) }) };
}

test('where an address has all that it may have, its own oldest idle connection is ended for the newest', async (t) => {
  const connect = await connections(t);
  const { full, places } = createCounted({ total: 10, each: 2 });
  const [other, first, second, third] = [await connect(), await connect(), await connect(), await connect()];
  for (const [socket, holder] of [
    [other, 'b'],
    [first, 'a'],
    [second, 'a'],
    [third, 'a'],
  ] as const)
    assert.ok(places.take(socket, holder));
  assert.deepEqual(
    [other, first, second, third].map(({ destroyed }) => destroyed),
    [false, true, false, false],
  );
  assert.deepEqual(full, ['address']);
  assert.equal(places.taken(), 3);
});

test('where all places are taken, the oldest idle connection of anybody is ended', async (t) => {
  const connect = await connections(t);
  const { full, places } = createCounted({ total: 3, each: 2 });
  const sockets = [await connect(), await connect(), await connect(), await connect()];
  for (const [n, socket] of sockets.entries()) assert.ok(places.take(socket, `of ${n}`));
  assert.deepEqual(
    sockets.map(({ destroyed }) => destroyed),
    [true, false, false, false],
  );
  assert.deepEqual(full, ['platform']);
});

test('a connection on which somebody known is answered is not ended, until he has been', async (t) => {
  const connect = await connections(t);
  const { places } = createCounted({ total: 10, each: 2 });
  const [polling, idle, third, fourth] = [await connect(), await connect(), await connect(), await connect()];
  places.take(polling, 'a');
  const leave = places.hold(polling);
  const again = places.hold(polling);
  places.take(idle, 'a');
  places.take(third, 'a');
  assert.deepEqual([polling.destroyed, idle.destroyed, third.destroyed], [false, true, false]);
  leave();
  places.hold(third);
  assert.equal(places.take(fourth, 'a'), false);
  assert.ok(fourth.destroyed, 'there is none that can be ended for it');
  again();
  const fifth = await connect();
  assert.ok(places.take(fifth, 'a'));
  assert.deepEqual([polling.destroyed, third.destroyed], [true, false]);
});

test('a connection that is closed leaves its place', async (t) => {
  const connect = await connections(t);
  const { full, places } = createCounted({ total: 1, each: 1 });
  const first = await connect();
  places.take(first, 'a');
  const leave = places.hold(first);
  first.destroy();
  await once(first, 'close');
  leave();
  assert.equal(places.taken(), 0);
  assert.ok(places.take(await connect(), 'a'));
  assert.deepEqual(full, []);
});

test('all addresses of one IPv6 network have the places of one, and a proxy that speaks for others is never ended', async (t) => {
  const connect = await connections(t);
  const { places } = createCounted({ total: 3, each: 1 });
  const [proxy, first, second] = [await connect(), await connect(), await connect()];
  places.take(proxy, undefined);
  places.take(first, addressKey('2001:db8::1'));
  places.take(second, addressKey('2001:db8:0:0:ffff::2'));
  assert.deepEqual([proxy.destroyed, first.destroyed, second.destroyed], [false, true, false]);
  places.take(await connect(), addressKey('2001:db8:0:1::2'));
  assert.deepEqual([proxy.destroyed, second.destroyed], [false, false]);
  places.take(await connect(), addressKey('2001:db8:0:2::2'));
  assert.deepEqual([proxy.destroyed, second.destroyed], [false, true]);
});
