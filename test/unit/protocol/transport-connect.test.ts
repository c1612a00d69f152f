/** Addresses of a host, raced: some lead nowhere, some are slow, and none is given up for that. */
import assert from 'node:assert/strict';
import * as net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connectTo, interleave, race, type Target } from '../../../src/protocol/transport-connect.ts';

const NOWHERE = '192.0.2.1';
const SLOW = '192.0.2.2';
const REFUSED = '192.0.2.3';
const NO_ROUTE = '2001:db8::1';

describe('of several addresses', () => {
  let server: net.Server;
  let port = 0;
  const opened: string[] = [];
  const sockets: net.Socket[] = [];
  let pauses: (() => void)[] = [];

  /** Nobody waits in these tests: a pause is over when `tick` says so. */
  const clock = {
    sleep: (_ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve) => {
        pauses.push(resolve);
        signal?.addEventListener('abort', () => resolve(), { once: true });
      }),
  };
  const tick = async (): Promise<void> => {
    for (const resolve of pauses.splice(0)) resolve();
    await new Promise((resolve) => setImmediate(resolve));
  };

  function open({ address }: Target): net.Socket {
    opened.push(address);
    const socket = new net.Socket();
    sockets.push(socket);
    const fail = (code: string) => socket.destroy(Object.assign(new Error(code), { code }));
    if (address === REFUSED) setImmediate(() => fail('ECONNREFUSED'));
    else if (address === NO_ROUTE) setImmediate(() => fail('ENETUNREACH'));
    else if (address !== NOWHERE && address !== SLOW) socket.connect({ host: '127.0.0.1', port });
    return socket;
  }

  function start(...addresses: string[]) {
    opened.length = 0;
    sockets.length = 0;
    pauses = [];
    const stop = new AbortController();
    const targets = addresses.map((address) => ({ address, port }));
    return { stop, winner: race(targets, { clock, signal: stop.signal, open }) };
  }

  before(async () => {
    server = net.createServer((socket) => socket.on('error', () => undefined));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as net.AddressInfo).port;
  });
  after(() => new Promise((resolve) => server.close(resolve)));

  test('one that leads nowhere costs one delay', async () => {
    const { winner } = start(NOWHERE, '127.0.0.1');
    await tick();
    const socket = await winner;
    assert.equal(socket, sockets[1]);
    assert.equal(sockets[0]?.destroyed, true);
    socket.destroy();
  });

  test('one that is slower than every delay still wins where the others lead nowhere', async () => {
    const { winner } = start(SLOW, NOWHERE, NOWHERE);
    for (let round = 0; round < 5; round++) await tick();
    assert.deepEqual(opened, [SLOW, NOWHERE, NOWHERE]);
    assert.ok(
      sockets.every((socket) => !socket.destroyed),
      'none has been given up',
    );
    sockets[0]?.connect({ host: '127.0.0.1', port });
    const socket = await winner;
    assert.equal(socket, sockets[0]);
    assert.deepEqual(
      sockets.map(({ destroyed }) => destroyed),
      [false, true, true],
    );
    socket.destroy();
  });

  test('one that refuses is followed by the next without a delay', async () => {
    const { winner } = start(REFUSED, NO_ROUTE, '127.0.0.1');
    const socket = await winner;
    assert.equal(socket, sockets[2]);
    socket.destroy();
  });

  test('when all fail, the error is the one that says most', async () => {
    await assert.rejects(start(NO_ROUTE, REFUSED).winner, (error: unknown) => {
      assert.ok(error instanceof AggregateError);
      assert.equal((error.errors[0] as NodeJS.ErrnoException).code, 'ECONNREFUSED');
      return true;
    });
    await assert.rejects(start(REFUSED).winner, { code: 'ECONNREFUSED' });
    await assert.rejects(start().winner, AggregateError);
  });

  test('none is left open by a stop', async () => {
    const { winner, stop } = start(NOWHERE, SLOW);
    await tick();
    stop.abort(new Error('stopped'));
    await assert.rejects(winner, /stopped/);
    assert.ok(sockets.every((socket) => socket.destroyed));
  });

  test('both families come in turn, the preferred one first', () => {
    assert.deepEqual(interleave(['::1', '::2', '1.1.1.1', '2.2.2.2', '3.3.3.3']), [
      '::1',
      '1.1.1.1',
      '::2',
      '2.2.2.2',
      '3.3.3.3',
    ]);
    assert.deepEqual(interleave(['1.1.1.1', '2.2.2.2', '::1']), ['1.1.1.1', '::1', '2.2.2.2']);
    assert.deepEqual(interleave([]), []);
  });

  test('a name without an address gets the error of the resolver, and a stop waits for no resolver', async () => {
    const stop = new AbortController();
    const parts = { clock, signal: stop.signal };
    const lookup = connectTo('nothing.invalid', port, parts);
    stop.abort(new Error('stopped'));
    await assert.rejects(lookup, /stopped/);
  });
});
