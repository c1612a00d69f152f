import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { createOutbox } from '../../../src/store/outbox.ts';

const roots: string[] = [];
after(() => {
  for (const root of roots) rmSync(root, { recursive: true, force: true });
});

function newOutbox() {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-outbox-'));
  roots.push(directory);
  const outbox = createOutbox(directory);
  return { outbox, directory, file: join(directory, 'failures.slots') };
}

describe('reports of failures', () => {
  test('are kept in room taken before, so that no write needs space', () => {
    const { outbox, file } = newOutbox();
    outbox.prepare();
    const size = readFileSync(file).length;
    outbox.putFailure('k1', 'fetch_status', (sequence) => `failure ${sequence}`);
    assert.equal(readFileSync(file).length, size);
    assert.deepEqual(outbox.keys(), ['k1']);
    assert.deepEqual(outbox.oldest(), {
      key: 'k1',
      alias: 'fetch_status',
      value: 'failure 1',
      isOnce: true,
    });
  });

  test('are not kept again once they were sent, whatever asks for it', () => {
    const { outbox } = newOutbox();
    outbox.prepare();
    outbox.putFailure('k1', 'fetch_status', () => 'first');
    outbox.remove('k1');
    outbox.putFailure('k1', 'fetch_status', () => 'the same update closed again');
    assert.equal(outbox.size(), 0);
    assert.equal(outbox.oldest(), undefined);
  });

  test('are numbered on, also by the next gwe', () => {
    const { outbox, directory } = newOutbox();
    outbox.prepare();
    for (const key of ['a', 'b', 'c', 'd', 'e', 'f']) {
      outbox.putFailure(key, 'fetch_status', (sequence) => `number ${sequence}`);
      outbox.remove(key);
    }
    const next = createOutbox(directory);
    next.putFailure('g', 'fetch_status', (sequence) => `number ${sequence}`);
    assert.equal(next.oldest()?.value, 'number 7');
  });

  test('find a file each where the room is used up, and go out in the order of their keys', () => {
    const { outbox } = newOutbox();
    outbox.prepare();
    const keys = ['1', '2', '3', '4', '5', '6'];
    for (const key of keys) outbox.putFailure(key, 'fetch_status', (sequence) => `failure ${sequence}`);
    outbox.put('35', 'fetch_status', 'a success between them');
    const sent: string[] = [];
    for (let next = outbox.oldest(); next !== undefined; next = outbox.oldest()) {
      sent.push(next.value);
      outbox.remove(next.key);
    }
    const expected = ['1', '2', '3'].map((key) => `failure ${key}`);
    assert.deepEqual(sent, [...expected, 'a success between them', 'failure 4', 'failure 5', 'failure 6']);
  });

  test('go to a file where no room could be taken', () => {
    const { outbox } = newOutbox();
    outbox.putFailure('k', 'fetch_status', () => 'told all the same');
    assert.equal(outbox.oldest()?.value, 'told all the same');
  });

  test('that a power cut has torn are gone, and the others are not', () => {
    const { outbox, directory, file } = newOutbox();
    outbox.prepare();
    outbox.putFailure('a', 'fetch_status', () => 'torn');
    outbox.putFailure('b', 'fetch_status', () => 'whole');
    const bytes = readFileSync(file);
    bytes.write('x', 100);
    writeFileSync(file, bytes);
    assert.deepEqual(createOutbox(directory).keys(), ['b']);
  });
});
