/** A device's key is of one serial number of one product on one platform, whoever changes the files. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  formerKeys,
  identityOf,
  type KeyPlace,
  keepKey,
  keyToCarry,
  readDevice,
  settleKey,
} from '../../../../src/agent/run/device-key.ts';
import { interfaceMac } from '../../../../src/agent/run/identity.ts';
import { type DeviceConfig, saveGatewayConfig } from '../../../../src/config/config-files.ts';
import { createLayout } from '../../../../src/store/layout.ts';

interface Place extends KeyPlace {
  /** As an editor would. */
  edit(changes: Partial<DeviceConfig>): void;
  fileKey(): string | undefined;
  at(platformUrl: string): KeyPlace;
}

const [KEY1, KEY2, KEY3] = ['1', '2', '3'].map((digit) => digit.repeat(40)) as [string, string, string];

function createPlace(t: TestContext, device: Partial<DeviceConfig> = {}): Place {
  const root = mkdtempSync(join(tmpdir(), 'gwe-key-'));
  t.after(() => rmSync(root, { recursive: true }));
  const layout = createLayout(root);
  const edit = (changes: Partial<DeviceConfig>): void =>
    void saveGatewayConfig(layout.gatewayConfig, changes);
  edit({ vendor: 'p', model: 'p', uuid: 's1', cik: KEY1, ...device });
  return {
    layout,
    platformUrl: '',
    edit,
    fileKey: () => /^cik = (.*)$/m.exec(readFileSync(layout.gatewayConfig, 'utf8'))?.[1],
    at: (platformUrl) => ({ layout, platformUrl }),
  };
}

const changes: readonly { what: string; change: Partial<DeviceConfig>; url?: string }[] = [
  { what: 'serial number', change: { uuid: 's2' } },
  { what: 'product', change: { vendor: 'q', model: 'q' } },
  { what: 'vendor', change: { vendor: 'q' } },
  { what: 'address of the platform', change: {}, url: 'https://other.example.com' },
  { what: 'cleared serial number', change: { uuid: '' } },
];

for (const { what, change, url = '' } of changes) {
  test(`with another ${what} the key is not used, set aside, and comes back`, (t) => {
    const place = createPlace(t);
    assert.equal(settleKey(place), false);
    assert.equal(readDevice(place).cik, KEY1);
    place.edit(change);
    assert.equal(readDevice(place.at(url)).cik, '', 'before anything has been settled');
    assert.equal(settleKey(place.at(url)), true);
    assert.equal(place.fileKey(), "''");
    assert.equal(settleKey(place.at(url)), false);
    assert.equal(statSync(place.layout.deviceKeys).mode & 0o777, 0o600);
    place.edit({ vendor: 'p', model: 'p', uuid: 's1' });
    assert.equal(settleKey(place), true);
    assert.equal(readDevice(place).cik, KEY1);
    assert.equal(place.fileKey(), KEY1);
  });
}

test('identities take turns, each with its own key', (t) => {
  const place = createPlace(t);
  settleKey(place);
  place.edit({ uuid: 's2' });
  settleKey(place);
  keepKey(place, identityOf(place, readDevice(place)), KEY2);
  for (const [uuid, key] of [
    ['s1', KEY1],
    ['s2', KEY2],
    ['s1', KEY1],
  ] as const) {
    place.edit({ uuid });
    settleKey(place);
    assert.equal(readDevice(place).cik, key);
  }
});

test('a key that is put in by hand together with a new identity is its key', (t) => {
  const place = createPlace(t);
  settleKey(place);
  place.edit({ uuid: 's2', cik: KEY2 });
  assert.equal(readDevice(place).cik, KEY2);
  settleKey(place);
  place.edit({ uuid: 's3' });
  assert.equal(readDevice(place).cik, '', 'and it is bound to it');
});

test('a key for who this gateway was when it was asked for does not become that of who it is now', (t) => {
  const place = createPlace(t, { cik: '' });
  const asked = identityOf(place, readDevice(place));
  place.edit({ uuid: 's2' });
  keepKey(place, asked, KEY3);
  assert.equal(readDevice(place).cik, '');
  place.edit({ uuid: 's1' });
  settleKey(place);
  assert.equal(readDevice(place).cik, KEY3);
});

test('an interrupted change of keys does not hand the old key to the new identity', (t) => {
  const place = createPlace(t);
  settleKey(place);
  place.edit({ uuid: 's2' });
  settleKey(place);
  place.edit({ cik: KEY1 });
  assert.equal(readDevice(place).cik, '');
  settleKey(place);
  assert.equal(place.fileKey(), "''");
});

test('a key that came before this gateway was set up counts when it is', (t) => {
  const place = createPlace(t, { vendor: '', model: '', uuid: '' });
  settleKey(place);
  assert.equal(existsSync(place.layout.deviceKeys), false);
  place.edit({ uuid: 's1' });
  settleKey(place);
  place.edit({ vendor: 'p', model: 'p' });
  settleKey(place);
  assert.equal(readDevice(place).cik, KEY1);
});

test('two spellings of one address are one, and a key set aside can be carried to another one', (t) => {
  const place = createPlace(t);
  settleKey(place.at('https://p.m2.exosite.io/'));
  assert.equal(readDevice(place).cik, KEY1);
  assert.equal(readDevice(place.at('https://P.m2.exosite.io:443')).cik, KEY1);
  settleKey(place.at('https://new.example.com'));
  assert.equal(keyToCarry(place.at('https://new.example.com')), KEY1);
  place.edit({ uuid: 's2' });
  assert.equal(keyToCarry(place.at('https://new.example.com')), undefined);
});

test('an interface gives a serial number only where it has one of its own', (t) => {
  const root = mkdtempSync(join(tmpdir(), 'gwe-mac-'));
  t.after(() => rmSync(root, { recursive: true }));
  const add = (name: string, address?: string): void => {
    const directory = join(root, 'sys/class/net', name);
    mkdirSync(directory, { recursive: true });
    if (address !== undefined) writeFileSync(join(directory, 'address'), `${address}\n`);
  };
  add('eth9', '02:11:22:aa:44:55');
  add('ppp0', '');
  add('can0');
  add('wwan0', '00:00:00:00:00:00');
  add('odd0', 'FF:ff:ff:ff:ff:ff');
  assert.deepEqual(interfaceMac('eth9', root), { mac: '02:11:22:AA:44:55' });
  const problemOf = (name: string): string => {
    const found = interfaceMac(name, root);
    return 'problem' in found ? found.problem : '';
  };
  for (const name of ['ppp0', 'can0']) assert.match(problemOf(name), /it exists, but has no MAC/);
  assert.match(problemOf('wwan0'), /its MAC is 00:00:00:00:00:00, which every such interface has/);
  assert.match(problemOf('odd0'), /its MAC is FF/);
  assert.match(problemOf('eth9@eth0'), /no such interface, did you mean 'eth9'\?/);
  assert.match(problemOf('eth77'), /there is no such interface now/);
});

function replaceKeys(place: Place, ...keys: readonly string[]): void {
  settleKey(place);
  const { identity } = formerKeys(place);
  for (const key of keys) keepKey(place, identity, key);
}

test('a key that the platform has replaced is kept, and is the one in use again once it is taken', (t) => {
  const place = createPlace(t);
  replaceKeys(place, KEY2);
  assert.deepEqual([place.fileKey(), formerKeys(place).ciks], [KEY2, [KEY1]]);
  replaceKeys(place, KEY1);
  assert.deepEqual([place.fileKey(), formerKeys(place).ciks], [KEY1, [KEY2]]);
});

test('however many keys are handed out, the first and the latest stay', (t) => {
  const place = createPlace(t);
  const handedOut = Array.from({ length: 50 }, (_, at) => String(at).padStart(40, 'f'));
  replaceKeys(place, ...handedOut);
  const { ciks } = formerKeys(place);
  assert.deepEqual([ciks.length, ciks[0], ciks.at(-1)], [4, KEY1, handedOut.at(-2)]);
});

test('a replaced key is of its identity: another one is never asked with it, and it outlives the change', (t) => {
  const place = createPlace(t);
  replaceKeys(place, KEY2);
  place.edit({ uuid: 's2' });
  settleKey(place);
  assert.deepEqual(formerKeys(place).ciks, []);
  place.edit({ uuid: 's1' });
  settleKey(place);
  assert.deepEqual([place.fileKey(), formerKeys(place).ciks], [KEY2, [KEY1]]);
});
