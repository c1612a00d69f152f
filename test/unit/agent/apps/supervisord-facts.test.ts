/** A supervisord that is slow, answers in part, or talks nonsense, as a report meets it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { askSupervisord, type SupervisordFacts } from '../../../../src/agent/apps/supervisord-facts.ts';
import type { AgentContext } from '../../../../src/agent/run/context.ts';
import { createSystemClock } from '../../../../src/base/clock.ts';
import { createSupervisorClient } from '../../../../src/supervisor/client.ts';

const clock = createSystemClock();

async function ask(answer: (method: string) => Buffer | undefined): Promise<SupervisordFacts> {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-sv-'));
  const socketPath = join(directory, 's.sock');
  const listener: RequestListener = async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const bytes = answer(/supervisor\.(\w+)/.exec(body)?.[1] ?? '');
    // None at all is never sent: the client gives up.
    if (bytes !== undefined) response.end(bytes);
  };
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const supervisor = (timeoutMs = 0) => {
    assert.equal(timeoutMs, 5000);
    return createSupervisorClient({ address: socketPath, timeoutMs: 300, maxAttempts: 1, clock });
  };
  try {
    return await askSupervisord({ supervisor } as unknown as AgentContext);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  }
}

const xml = (value: string): Buffer =>
  Buffer.from(
    `<methodResponse><params><param><value>${value}</value></param></params></methodResponse>`,
    'latin1',
  );

const row = (name: string, pid = '<int>5</int>'): string => {
  const text = (key: string, value: string): string =>
    `<member><name>${key}</name><value><string>${value}</string></value></member>`;
  const number = (key: string): string => `<member><name>${key}</name><value><int>5</int></value></member>`;
  return `<value><struct>${text('name', name)}${text('group', name)}${text('statename', 'RUNNING')}<member><name>pid</name><value>${pid}</value></member>${['exitstatus', 'start', 'stop', 'now'].map(number).join('')}${['spawnerr', 'description', 'stdout_logfile'].map((key) => text(key, 'caf\xe9')).join('')}</struct></value>`;
};

test('one that never answers is asked each question once, and the report says so', async () => {
  const asked: string[] = [];
  const facts = await ask((method) => void asked.push(method));
  assert.equal(asked.length, new Set(asked).size, String(asked));
  assert.deepEqual([facts.version, facts.processes, facts.log], [undefined, undefined, '']);
  assert.match(facts.problem ?? '', /no answer within 300 ms/);
});

test('rows that cannot be read do not spoil the others; what is not UTF-8 is marked', async () => {
  const facts = await ask((method) =>
    method === 'getAllProcessInfo'
      ? xml(`<array><data>${row('a')}${row('b', '<string>many</string>')}${row('c')}</data></array>`)
      : method === 'getSupervisorVersion'
        ? xml('<string>4.2.5</string>')
        : xml('<string>2026 log \xff</string>'),
  );
  assert.deepEqual(
    facts.processes?.map(({ name }) => name),
    ['a', 'c'],
  );
  assert.equal(facts.processes?.[0]?.description, 'caf\uFFFD');
  assert.equal(facts.version, '4.2.5');
  assert.match(facts.problem ?? '', /1 of its processes could not be read/);
});

test('one that knows no version and keeps no log still tells of its processes', async () => {
  const facts = await ask((method) =>
    method === 'getAllProcessInfo' ? xml(`<array><data>${row('a')}</data></array>`) : Buffer.from('nonsense'),
  );
  assert.equal(facts.processes?.length, 1);
  assert.deepEqual([facts.version, facts.log], [undefined, '']);
  assert.match(facts.problem ?? '', /getSupervisorVersion/);
});
