import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createNetServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { type ErrorCode, GweError } from '../../../src/base/errors.ts';
import { createSupervisorClient } from '../../../src/supervisor/client.ts';

async function withServer(server: Server, use: (socketPath: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-sv-'));
  const socketPath = join(directory, 's.sock');
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  try {
    await use(socketPath);
  } finally {
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  }
}

function client(socketPath: string, maxAttempts = 1, timeoutMs = 2000) {
  return createSupervisorClient({ address: socketPath, timeoutMs, maxAttempts, clock: createSystemClock() });
}

function fails(pending: Promise<unknown>, code: ErrorCode, message: RegExp): Promise<void> {
  return assert.rejects(pending, (error) => {
    assert.ok(error instanceof GweError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  });
}

function xml(value: string): string {
  return `<methodResponse><params><param><value>${value}</value></param></params></methodResponse>`;
}

const ANSWERS: [what: string, answer: RequestListener, code: ErrorCode, message: RegExp][] = [
  ['garbage', (_, response) => response.end('hello'), 'SUPERVISOR_REFUSED', /an answer with/],
  ['another shape', (_, response) => response.end(xml('x')), 'SUPERVISOR_REFUSED', /not as expected/],
  ['status 500', (_, response) => response.writeHead(500).end(), 'SUPERVISOR_REFUSED', /HTTP status 500/],
  [
    'more than a megabyte',
    (_, response) => response.end('x'.repeat(1_100_000)),
    'SUPERVISOR_REFUSED',
    /more than 1048576 bytes/,
  ],
  [
    'half a body',
    (_, response) => response.writeHead(200, { 'content-length': 100 }).write('x', () => response.destroy()),
    'SUPERVISOR_UNREACHABLE',
    /cannot reach/,
  ],
  [
    'that it is shutting down',
    (_, response) =>
      response.end(
        '<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>6</int></value></member></struct></value></fault></methodResponse>',
      ),
    'SUPERVISOR_UNREACHABLE',
    /shutting down/,
  ],
];

for (const [what, answer, code, message] of ANSWERS) {
  test(`a supervisord that answers ${what} gives ${code}`, () =>
    withServer(createServer(answer), (path) => fails(client(path).getAllProcessInfo(), code, message)));
}

test('a supervisord that does not answer is given up after the timeout', async () => {
  const server = createNetServer(
    (socket) => void socket.on('data', () => undefined).on('end', () => socket.end()),
  );
  await withServer(server, (path) =>
    fails(client(path, 3, 100).getState(), 'SUPERVISOR_UNREACHABLE', /no answer within 100 ms/),
  );
});

test('a call that reads is tried again after a broken connection, one that acts is not', async () => {
  let calls = 0;
  const answer: RequestListener = (request, response) => {
    if (++calls % 2 === 1) request.socket.destroy();
    else response.end(xml('<int>5</int>'));
  };
  await withServer(createServer(answer), async (path) => {
    assert.equal(await client(path, 2).getPid(), 5);
    assert.equal(calls, 2);
    await fails(client(path, 2).addProcessGroup('a'), 'SUPERVISOR_UNREACHABLE', /cannot reach/);
    assert.equal(calls, 3);
  });
});

test('without a socket every try is made, then the error names the path and what was expected', async () => {
  await fails(
    client('/no/such.sock', 2).addProcessGroup('a'),
    'SUPERVISOR_UNREACHABLE',
    /'\/no\/such\.sock'.*ENOENT.*unix_http_server/,
  );
});

test('an aborted signal ends a call', async () => {
  const options = {
    address: '/no/such.sock',
    timeoutMs: 1000,
    maxAttempts: 3,
    clock: createSystemClock(),
  };
  await fails(
    createSupervisorClient({ ...options, signal: AbortSignal.abort() }).getPid(),
    'CANCELLED',
    /cancelled/,
  );
});
