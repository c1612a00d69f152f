/** Single sign-on against a real provider of identities: there, through its pages, and back. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { createFleetApi } from '../../../src/fleet-api/fleet-api.ts';
import { createSignOn } from '../../../src/fleet-api/people/sign-on.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';

const PROVIDER = join(import.meta.dirname, '../../helpers/identity-provider.mjs');
/** The provider has to know it before the platform has a port: a host that no request goes to. */
const PUBLIC_URL = 'http://platform.invalid';

let provider: ReturnType<typeof spawn>;
let platform: TestPlatform;

before(async () => {
  provider = spawn(process.execPath, ['--no-warnings', PROVIDER, `${PUBLIC_URL}/gwe/v2/sign-on/callback`], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  assert.ok(provider.stdout !== null);
  const [issuer] = await once(createInterface(provider.stdout), 'line');
  const signOn = createSignOn({
    issuer,
    clientId: 'gwe',
    clientSecret: 'a-secret-of-the-client',
    publicUrl: PUBLIC_URL,
  });
  platform = await startPlatform({
    operatorApi: ({ bodyLimits, ...context }) =>
      createFleetApi({ ...context, signOn, sealer: undefined }, bodyLimits),
  });
  const grants = [{ role: 'viewer', product: '*' }];
  for (const name of ['ann@example.com', 'unverified@example.com'])
    await fetch(`${platform.url}/gwe/v2/operators`, {
      method: 'POST',
      headers: { 'X-Exosite-Token': platform.token },
      body: JSON.stringify({ name, grants, withPassword: false }),
    });
});
after(async () => {
  provider.kill();
  await platform.close();
});

/** A browser of one tab: cookies by host, redirects followed but those to the platform. */
class Browser {
  readonly cookies = new Map<string, Map<string, string>>();

  async load(
    url: string,
    form?: Record<string, string>,
  ): Promise<{ url: string; status: number; text: string }> {
    const { host } = new URL(url);
    const jar = this.cookies.get(host) ?? new Map<string, string>();
    this.cookies.set(host, jar);
    const reply = await fetch(url, {
      redirect: 'manual',
      headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(form === undefined ? {} : { method: 'POST', body: new URLSearchParams(form) }),
    });
    for (const line of reply.headers.getSetCookie()) {
      const [name = '', value = ''] = line.split(';')[0]?.split(/=(.*)/s) ?? [];
      jar.set(name, value);
    }
    const location = reply.headers.get('location');
    if (location === null) return { url, status: reply.status, text: await reply.text() };
    const next = new URL(location, url).href;
    return next.startsWith(PUBLIC_URL) ? { url: next, status: reply.status, text: '' } : this.load(next);
  }

  /** Logs in at the provider and says yes; the address that it sends the person back to. */
  async signOn(account: string): Promise<URL> {
    let page = await this.load(`${platform.url}/gwe/v2/sign-on`);
    for (let pages = 0; !page.url.startsWith(PUBLIC_URL); pages++) {
      assert.ok(pages < 4, page.text);
      const [, action = ''] = /<form[^>]*action="([^"]+)"/.exec(page.text) ?? [];
      const [, prompt = ''] = /name="prompt" value="(\w+)"/.exec(page.text) ?? [];
      const form = prompt === 'login' ? { prompt, login: account, password: 'any' } : { prompt };
      page = await this.load(new URL(action, page.url).href, form);
    }
    return new URL(page.url);
  }

  /** The query that the provider sent back, given to the platform. */
  back({ search }: URL): Promise<{ status: number; text: string }> {
    return this.load(`${platform.url}/gwe/v2/sign-on/callback${search}`);
  }
}

test('a person who is known by the verified address has a session, and the query opens nothing again', async () => {
  const browser = new Browser();
  const url = await browser.signOn('ann');
  const stranger = await new Browser().back(url);
  assert.equal(stranger.status, 400, 'a browser that has not begun it');
  const page = await browser.back(url);
  assert.deepEqual([page.status, /url=\//.test(page.text)], [200, true]);
  const me = await browser.load(`${platform.url}/gwe/v2/me`);
  assert.deepEqual([me.status, JSON.parse(me.text).name], [200, 'ann@example.com']);
  assert.equal((await browser.back(url)).status, 400);
});

test('an unknown person, an address that nobody verified and a changed answer are refused', async () => {
  const unknown = new Browser();
  const refused = await unknown.back(await unknown.signOn('eve'));
  assert.deepEqual([refused.status, /no operator 'eve@example\.com'/.test(refused.text)], [403, true]);
  const unverified = new Browser();
  const doubted = await unverified.back(await unverified.signOn('unverified'));
  assert.deepEqual([doubted.status, /not verified/.test(doubted.text)], [502, true]);
  const changed = new Browser();
  const url = await changed.signOn('ann');
  url.searchParams.set('state', 'another');
  assert.equal((await changed.back(url)).status, 502);
});
