import assert from 'node:assert/strict';
import { test } from 'node:test';
import { selectProxy } from '../../../src/protocol/transport-proxy.ts';

const TARGET = new URL('https://pid.m2.exosite.io');

test('the lower-case variable wins, and ALL_PROXY is the last resort', () => {
  const env = { https_proxy: 'http://a:1', HTTPS_PROXY: 'http://b:2', ALL_PROXY: 'http://c:3' };
  assert.equal(selectProxy(TARGET, env)?.label, 'http://a:1');
  assert.equal(selectProxy(TARGET, { ...env, https_proxy: ' ' })?.label, 'http://b:2');
  assert.equal(selectProxy(TARGET, { ALL_PROXY: 'c' })?.label, 'http://c:80');
  assert.equal(selectProxy(TARGET, { HTTP_PROXY: 'http://c:3' }), undefined);
});

for (const [list, isExempt] of [
  ['*', true],
  ['exosite.io', true],
  ['.exosite.io', true],
  ['*.exosite.io', true],
  ['a.test, pid.m2.exosite.io', true],
  ['EXOSITE.IO:443', true],
  ['exosite.io:8443', false],
  ['site.io', false],
  ['x.pid.m2.exosite.io', false],
  ['', false],
  [',,', false],
] as const) {
  test(`NO_PROXY '${list}' ${isExempt ? 'exempts' : 'does not exempt'} ${TARGET.hostname}`, () => {
    const proxy = selectProxy(TARGET, { NO_PROXY: list, https_proxy: 'http://a:1' });
    assert.equal(proxy === undefined, isExempt);
  });
}

test('NO_PROXY takes IPv6 addresses with and without brackets', () => {
  const target = new URL('https://[2001:db8::1]:8443');
  const selected = (list: string) => selectProxy(target, { no_proxy: list, https_proxy: 'http://a:1' });
  assert.equal(selected('2001:db8::1'), undefined);
  assert.equal(selected('[2001:db8::1]:8443'), undefined);
  assert.notEqual(selected('[2001:db8::1]:1'), undefined);
});

test('the password is in the header only, decoded', () => {
  const proxy = selectProxy(TARGET, { https_proxy: 'http://joe:p%40ss@h:3128' });
  assert.equal(proxy?.label, 'http://h:3128');
  assert.equal(proxy?.authorization, `Basic ${Buffer.from('joe:p@ss').toString('base64')}`);
});

test('a proxy of another kind is refused by the name of its variable, without its password', () => {
  assert.throws(
    () => selectProxy(TARGET, { ALL_PROXY: 'socks4://joe:secret@h:1' }),
    (error) => {
      assert.match(String(error), /ALL_PROXY.*socks4.*socks5/);
      assert.doesNotMatch(String(error), /secret/);
      return true;
    },
  );
});

for (const [value, label, kind] of [
  ['"http://h:3128"', 'http://h:3128', 'http'],
  ["'h:3128'", 'http://h:3128', 'http'],
  ['https://h', 'https://h:443', 'https'],
  ['socks5://h', 'socks5://h:1080', 'socks5'],
  ['socks5h://[::2]:9', 'socks5h://[::2]:9', 'socks5'],
] as const) {
  test(`the value ${value} is the ${kind} proxy ${label}`, () => {
    const proxy = selectProxy(TARGET, { HTTPS_PROXY: value });
    assert.equal(proxy?.label, label);
    assert.equal(proxy?.kind, kind);
  });
}

for (const [list, host, isExempt] of [
  ['10.0.0.0/8', '10.1.2.3', true],
  ['localhost,10.0.0.0/8', '11.1.2.3', false],
  ['0.0.0.0/0', '11.1.2.3', true],
  ['10.0.0.0/33', '10.1.2.3', false],
  ['10.0.0.0/8', '[fd00::1]', false],
  ['fd00::/8', '[fd00::1]', true],
  ['[fd00::]/8', '[fe00::1]', false],
  ['10.0.0.0/8', 'ten.test', false],
] as const) {
  test(`NO_PROXY '${list}' ${isExempt ? 'exempts' : 'does not exempt'} ${host}`, () => {
    const proxy = selectProxy(new URL(`https://${host}`), { NO_PROXY: list, https_proxy: 'http://a:1' });
    assert.equal(proxy === undefined, isExempt);
  });
}
