/** A file of state: read back as written, and damage in it told from its absence. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import * as v from 'valibot';
import { GweError } from '../../../src/base/errors.ts';
import { type StoredFile, storedFile } from '../../../src/base/stored-file.ts';

const LIMIT_BYTES = 100;
const Schema = v.object({ apps: v.record(v.string(), v.object({ count: v.number() })) });
const VALUE = { apps: { one: { count: 1 } } };

let directory: string;
let path: string;
let file: StoredFile<v.InferOutput<typeof Schema>>;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gwe-stored-'));
  path = join(directory, 'state', 'apps.json');
  file = storedFile(path, { schema: Schema, limitBytes: LIMIT_BYTES, mode: 0o600 });
});
afterEach(() => rmSync(directory, { recursive: true }));

test('what is written is read back, by its owner alone where the format says so, one line', () => {
  assert.equal(file.read(), undefined);
  file.write(VALUE);
  assert.deepEqual(file.read(), VALUE);
  assert.deepEqual(file.readOr('none'), VALUE);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(readFileSync(path, 'utf8'), `${JSON.stringify(VALUE)}\n`);
});

test('it is gone when it is removed, also twice, and also where its directory never was', () => {
  file.remove();
  file.write(VALUE);
  file.remove();
  file.remove();
  assert.equal(file.read(), undefined);
  assert.equal(file.readOr('none'), 'none');
});

const DAMAGES: Readonly<Record<string, { damage(): void; said: RegExp }>> = {
  'an empty file': { damage: () => writeFileSync(path, ''), said: /apps\.json': not JSON$/ },
  'a file of NULs': { damage: () => writeFileSync(path, Buffer.alloc(40)), said: /apps\.json': not JSON$/ },
  'half a file': { damage: () => writeFileSync(path, '{"apps":{"on'), said: /apps\.json': not JSON$/ },
  'another shape': {
    damage: () => writeFileSync(path, '{"apps":{"one":{"count":"1"}}}'),
    said: /apps\.json': apps\.one\.count: .*"1"/,
  },
  'a file that is too long': {
    damage: () => writeFileSync(path, ' '.repeat(LIMIT_BYTES + 1)),
    said: /apps\.json': 101 bytes, expected at most 100$/,
  },
  'a directory': { damage: () => mkdirSync(path), said: /apps\.json': not a regular file$/ },
};

for (const [name, { damage, said }] of Object.entries(DAMAGES)) {
  test(`${name} is told from none, and makes room when it is set aside`, () => {
    mkdirSync(join(directory, 'state'));
    damage();
    assert.throws(
      () => file.read(),
      (error) => error instanceof GweError && error.code === 'JOURNAL_UNREADABLE' && said.test(error.message),
    );
    assert.equal(file.readOr('none'), 'none');
    assert.equal(file.setAside(), `${path}.unreadable`);
    assert.ok(existsSync(`${path}.unreadable`));
    assert.equal(file.read(), undefined);
    file.write(VALUE);
    assert.deepEqual(file.read(), VALUE);
  });
}

test('a disk that does not give the file is no damage of it', () => {
  const loop = join(directory, 'a'.repeat(300));
  assert.throws(
    () => storedFile(loop, { schema: Schema, limitBytes: LIMIT_BYTES }).read(),
    (error) => error instanceof GweError && error.code === 'STORE_IO',
  );
});

const both = (
  merge?: (a: v.InferOutput<typeof Schema>, b: v.InferOutput<typeof Schema>) => v.InferOutput<typeof Schema>,
) =>
  storedFile(path, { schema: Schema, limitBytes: LIMIT_BYTES, copy: merge === undefined ? {} : { merge } });

test('with a copy, what is damaged or gone of the two is read and restored from the other', () => {
  const pair = both();
  pair.write(VALUE);
  for (const damaged of [path, `${path}.copy`]) {
    for (const text of ['', '{"ap', '\0'.repeat(40), undefined]) {
      if (text === undefined) rmSync(damaged);
      else writeFileSync(damaged, text);
      assert.deepEqual(pair.read(), VALUE);
      assert.equal(pair.repair() === undefined, damaged !== path);
      assert.equal(pair.repair(), undefined);
      assert.equal(readFileSync(path, 'utf8'), `${JSON.stringify(VALUE)}\n`);
    }
  }
});

test('where neither can be read it is refused, and only where neither is there is there nothing', () => {
  const pair = both();
  pair.write(VALUE);
  writeFileSync(`${path}.copy`, 'x');
  writeFileSync(path, 'x');
  assert.throws(() => pair.read(), { code: 'JOURNAL_UNREADABLE' });
  rmSync(path);
  assert.throws(() => pair.read(), { code: 'JOURNAL_UNREADABLE' });
  pair.remove();
  assert.equal(pair.read(), undefined);
});

test('of two that can be read the file counts, or what its owner makes of both', () => {
  const OTHER = { apps: { two: { count: 2 } } };
  both().write(VALUE);
  file.write(OTHER);
  assert.deepEqual(both().read(), OTHER);
  const sum = both((a, b) => ({ apps: { ...a.apps, ...b.apps } }));
  assert.deepEqual(sum.read(), { apps: { ...OTHER.apps, ...VALUE.apps } });
  assert.equal(sum.repair(), undefined);
  assert.deepEqual(file.read(), { apps: { ...OTHER.apps, ...VALUE.apps } }, 'both are the higher one now');
});

test('a directory in the place of a file is moved aside with what is in it, as often as there is one', () => {
  for (const number of [0, 1, 2]) {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, 'inside'), `${number}`);
    file.write(VALUE);
    assert.deepEqual(file.read(), VALUE);
    file.remove();
  }
  assert.equal(readFileSync(join(`${path}.unreadable-2`, 'inside'), 'utf8'), '2');
});
