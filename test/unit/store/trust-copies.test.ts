/** Keys that a power cut has torn go on being trusted, and one that was revoked never comes back. */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { generateKey } from '../../../src/artifact/manifest/signature.ts';
import { createReleaseStore, keepKeys, readKeyRing, replaceKeys } from '../../../src/store/trust.ts';

let root: string;
let keys: string;
const pem = (): string => generateKey().publicKey;
const trusted = (): string[] => readKeyRing(keys).keys.map(({ name }) => name);

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gwe-keys-'));
  keys = join(root, 'keys.d');
  mkdirSync(keys);
  for (const name of ['alice', 'bob']) writeFileSync(join(keys, `${name}.pub`), pem());
  keepKeys(keys);
});
afterEach(() => rmSync(root, { recursive: true }));

for (const [what, tear] of [
  ['empty', () => ''],
  ['full of NULs', (text: string) => '\0'.repeat(text.length)],
  ['cut short', (text: string) => text.slice(0, text.length / 2)],
] as const) {
  test(`a key file that is ${what} is trusted by its copy, and put right`, () => {
    const path = join(keys, 'alice.pub');
    const good = readFileSync(path, 'utf8');
    writeFileSync(path, tear(good));
    assert.deepEqual(trusted(), ['alice', 'bob']);
    assert.equal(keepKeys(keys).length, 1);
    assert.equal(readFileSync(path, 'utf8'), good);
    assert.deepEqual(readdirSync(keys).sort(), ['alice.pub', 'bob.pub'], 'no other file among the keys');
  });
}

test('a key that was removed, by hand or by a new set, is not trusted again for an empty file of its name', () => {
  rmSync(join(keys, 'bob.pub'));
  keepKeys(keys);
  writeFileSync(join(keys, 'bob.pub'), '');
  assert.deepEqual(trusted(), ['alice']);
  const set = join(root, 'set');
  mkdirSync(set);
  writeFileSync(join(set, 'carol.pub'), pem());
  replaceKeys(set, keys);
  assert.deepEqual(trusted(), ['carol']);
  writeFileSync(join(keys, 'alice.pub'), '');
  assert.deepEqual(trusted(), ['carol']);
});

test('a key that another has replaced under its name is the other one', () => {
  writeFileSync(join(keys, 'alice.pub'), pem());
  const [alice] = readKeyRing(keys).keys;
  keepKeys(keys);
  writeFileSync(join(keys, 'alice.pub'), '');
  assert.equal(readKeyRing(keys).keys[0]?.id, alice?.id);
});

test('of the releases seen the higher of both copies counts, and without either nothing is taken for new', () => {
  const path = join(root, 'releases.json');
  const store = createReleaseStore(path);
  store.saw('a', 5);
  for (const damage of ['', '\0'.repeat(30), '{"version":1,"rel', '{"version":1,"releases":{"a":3}}']) {
    writeFileSync(path, damage);
    assert.equal(store.highest('a'), 5, damage);
  }
  rmSync(path);
  assert.equal(store.highest('a'), 5);
  store.saw('a', 6);
  writeFileSync(path, '');
  writeFileSync(`${path}.copy`, '');
  assert.throws(() => store.highest('a'), /nor its copy.*remove both to start afresh/);
  assert.ok(existsSync(path));
});

test('a retired key is not among the trusted ones, and of a key that is both the retired one counts', () => {
  const text = readFileSync(join(keys, 'alice.pub'), 'utf8');
  writeFileSync(join(keys, 'old.retired'), text);
  const ring = readKeyRing(keys);
  assert.deepEqual(
    ring.keys.map(({ name }) => name),
    ['bob'],
  );
  assert.deepEqual(
    ring.retired.map(({ name }) => name),
    ['old'],
  );
  assert.match(ring.problems.join(), /key 'alice' .* also present as retired/);
});

test('the last key that is retired still keeps unsigned tarballs out', () => {
  for (const name of readdirSync(keys)) rmSync(join(keys, name));
  writeFileSync(join(keys, 'old.retired'), pem());
  assert.deepEqual(readKeyRing(keys).files, ['old.retired']);
});

test('a set takes its retired keys along, and a retired key that is not in it is gone', () => {
  const from = join(root, 'set');
  mkdirSync(from);
  writeFileSync(join(from, 'carol.pub'), pem());
  writeFileSync(join(from, 'alice.retired'), readFileSync(join(keys, 'alice.pub'), 'utf8'));
  replaceKeys(from, keys);
  assert.deepEqual(readdirSync(keys).sort(), ['alice.retired', 'carol.pub']);
  rmSync(join(from, 'alice.retired'));
  replaceKeys(from, keys);
  assert.deepEqual(readdirSync(keys), ['carol.pub']);
});

test('a retired key file that is torn is put right from its copy', () => {
  const path = join(keys, 'old.retired');
  const good = pem();
  writeFileSync(path, good);
  keepKeys(keys);
  writeFileSync(path, '');
  assert.match(keepKeys(keys).join(), /its last good copy is back/);
  assert.equal(readFileSync(path, 'utf8'), good);
});
