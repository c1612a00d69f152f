/** The counters of signed commands: never lower, and twice on the disk. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { copyPath } from '../../../src/base/edited-file.ts';
import { countersFile, createCommandCounters } from '../../../src/store/command-counters.ts';

let root: string;
let path: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gwe-counters-'));
  path = join(root, 'counters.json');
});
afterEach(() => rmSync(root, { recursive: true }));

const open = (counter: number) => ({ counter, digest: 'd', state: 'open' as const });
const counterOf = (signer: string): number | undefined =>
  createCommandCounters(path).read()?.get(signer)?.counter;

test('without a file there are none, which is not the same as a signer of whom there is none', () => {
  assert.equal(createCommandCounters(path).read(), undefined);
  createCommandCounters(path).note('a', open(5));
  assert.equal(createCommandCounters(path).read()?.get('b'), undefined);
  assert.equal(counterOf('a'), 5);
});

test('a counter is never lowered, and what is the same already is not written again', () => {
  const counters = createCommandCounters(path);
  counters.note('a', open(5));
  const { ino } = statSync(path);
  counters.note('a', open(4));
  counters.note('a', open(5));
  assert.equal(statSync(path).ino, ino);
  counters.note('a', { ...open(5), state: 'failed' });
  assert.equal(counters.read()?.get('a')?.state, 'failed');
});

test('of both copies the higher counts, for each signer, and one that is damaged is put right', () => {
  const counters = createCommandCounters(path);
  counters.note('a', open(5));
  writeFileSync(path, JSON.stringify({ version: 1, signers: { a: open(3), b: open(7) } }));
  assert.deepEqual([counterOf('a'), counterOf('b')], [5, 7]);
  writeFileSync(path, '');
  assert.equal(counterOf('a'), 5);
  assert.match(countersFile(path).repair() ?? '', /restored from its copy/);
  rmSync(copyPath(path));
  assert.equal(counterOf('a'), 5);
});

test('where both are damaged they are lost, and the next one begins them afresh', () => {
  const counters = createCommandCounters(path);
  counters.note('a', open(5));
  for (const each of [path, copyPath(path)]) writeFileSync(each, '\0\0\0');
  assert.equal(counters.read(), undefined);
  counters.note('a', open(6));
  assert.equal(counterOf('a'), 6);
});
