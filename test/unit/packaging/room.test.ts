/** A line more in a script moves what is near it, and nothing further on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { withRoom } from '../../../src/packaging/room.mjs';

/** Some 400 KB, as a bundler writes it. */
const SCRIPT = `"use strict";${Array.from({ length: 2000 }, (_, index) => `function f${index}(){return ${'"text "+'.repeat(20)}${index}}`).join('')}f7()`;

test('a script with room does what it did without', () => {
  const roomy = withRoom(SCRIPT);
  assert.ok(roomy.length > SCRIPT.length);
  assert.ok(roomy.length < SCRIPT.length * 1.1, `${roomy.length} bytes of ${SCRIPT.length}`);
  assert.equal(runInNewContext(roomy), runInNewContext(SCRIPT));
});

test('a longer line leaves everything behind its part where it was', () => {
  const roomy = withRoom(SCRIPT);
  const changed = withRoom(SCRIPT.replace('return "text "+', 'return "a longer text"+'));
  assert.equal(changed.length, roomy.length);
  const differing = Array.from({ length: roomy.length }, (_, at) => at).filter(
    (at) => roomy[at] !== changed[at],
  );
  const [first = 0, last = 0] = [differing[0], differing.at(-1)];
  assert.ok(last > first && last - first < SCRIPT.length / 2, `from ${first} to ${last}`);
});

test('characters outside of ASCII are counted as the bytes that they are in the file', () => {
  const roomy = withRoom(SCRIPT.replaceAll('"text "', '"\u00e4\u20ac"'));
  assert.equal(Buffer.byteLength(roomy) % 2048, 0);
  assert.equal(withRoom(SCRIPT).length % 2048, 0);
});
