/**
 * Each call of `/gwe/v2` by each role, by the server's own token and by nobody: answered or refused as the table of
 * src/fleet/README.md, "Who may do what", says. No call is without a row, and no row without a call.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { ROLES } from '../../../src/fleet/people/roles.ts';
import { API_CALLS } from '../../../src/fleet-api/fleet-api.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';

const SPECIAL: Readonly<Record<string, readonly string[]>> = {
  anyone: [...ROLES, 'server', 'nobody'],
  'who is logged in': [...ROLES, 'server'],
  "the server's own token": ['server'],
  'each role': [...ROLES, 'server'],
};

/** `METHOD /path` -> who may make it. */
function readTable(): Map<string, ReadonlySet<string>> {
  const text = readFileSync(new URL('../../../src/fleet/README.md', import.meta.url), 'utf8');
  const section = text.split(/^## /m).find((part) => part.startsWith('Who may do what')) ?? '';
  const found = new Map<string, ReadonlySet<string>>();
  for (const [, who = '', calls = ''] of section.matchAll(/^\| ([^|`]+) \| (`.*`) \|$/gm)) {
    // The server's own token is an admin of everything.
    const people = SPECIAL[who] ?? [...who.split(', '), 'server'];
    for (const [, call = ''] of calls.matchAll(/`([^`]+)`/g)) {
      const name = call.replace(' P', ' /products/{product}');
      assert.ok(!found.has(name), `${name} is in two rows`);
      found.set(name, new Set(people));
    }
  }
  return found;
}

const TABLE = readTable();

test('the table has each call once, and nothing but roles', () => {
  const calls = API_CALLS.map(({ method, path }) => `${method} ${path}`).sort();
  assert.deepEqual([...TABLE.keys()].sort(), calls);
  const known = new Set<string>([...ROLES, 'server', 'nobody']);
  for (const [call, people] of TABLE)
    for (const one of people) assert.ok(known.has(one), `${call}: '${one}' is no role`);
});

describe('each call by each role', () => {
  let platform: TestPlatform;
  const tokens = new Map<string, string>();

  before(async () => {
    platform = await startPlatform();
    await platform.addDevice('p', 'gw-0');
    await platform.addDevice('q', 'gw-0');
    tokens.set('server', platform.token);
    for (const role of ROLES)
      for (const product of ['p', 'q', '*']) {
        const reply = await fetch(`${platform.url}/gwe/v2/tokens`, {
          method: 'POST',
          headers: { 'X-Exosite-Token': platform.token },
          body: JSON.stringify({ name: role, role, product, days: 1 }),
        });
        const text = await reply.text();
        assert.equal(reply.status, 201, text);
        tokens.set(`${role} ${product}`, String(JSON.parse(text).text));
      }
  });
  after(() => platform.close());

  /** The status of a call that asks for nothing that is there, so that it does nothing where it may be made. */
  async function ask(method: string, path: string, token: string | undefined): Promise<number> {
    const named = path.replace('{product}', 'p').replaceAll(/\{\w+\}/g, 'nothing-of-this-name');
    const reply = await fetch(`${platform.url}/gwe/v2${named}`, {
      method,
      redirect: 'manual',
      headers: token === undefined ? {} : { Authorization: `Bearer ${token}` },
      ...(method === 'GET' || method === 'DELETE' ? {} : { body: '{}' }),
    });
    await reply.arrayBuffer();
    return reply.status;
  }

  for (const { method, path, permission } of API_CALLS)
    test(`${method} ${path}`, async () => {
      const may = TABLE.get(`${method} ${path}`) ?? new Set();
      const isOpen = permission === 'anyone';
      const isOfProduct = path.startsWith('/products/{product}');
      for (const role of ROLES) {
        const wide = await ask(method, path, tokens.get(`${role} *`));
        assert.equal(wide !== 403 && wide !== 401, may.has(role), `${role} of all: ${wide}`);
        const own = await ask(method, path, tokens.get(`${role} p`));
        const mayOwn = may.has(role) && (isOfProduct || isOpen || permission === 'self');
        assert.equal(own !== 403 && own !== 401, mayOwn, `${role} of this product: ${own}`);
        const other = await ask(method, path, tokens.get(`${role} q`));
        const mayOther = may.has(role) && (isOpen || permission === 'self');
        assert.equal(other !== 403 && other !== 401, mayOther, `${role} of another product: ${other}`);
      }
      const server = await ask(method, path, tokens.get('server'));
      assert.equal(server !== 403 && server !== 401, may.has('server'), `server: ${server}`);
    });

  test('nobody is told anything but how to come in', async () => {
    for (const { method, path } of API_CALLS) {
      const status = await ask(method, path, undefined);
      const isRefused = status === 401 || status === 429;
      const mayAsk = TABLE.get(`${method} ${path}`)?.has('nobody') === true;
      // A login without a name is refused for that.
      assert.equal(isRefused, !mayAsk, `${method} ${path}: ${status}`);
    }
  });
});
