import assert from 'node:assert/strict';
import { test } from 'node:test';
import { releaseBuffer } from '../../../src/base/memory.ts';

test('the memory of a buffer that is all of it is given back, whatever its size', () => {
  for (const bytes of [Buffer.poolSize - 100, Buffer.poolSize, Buffer.poolSize + 100]) {
    const { buffer } = Buffer.allocUnsafeSlow(bytes);
    releaseBuffer(Buffer.from(buffer));
    assert.equal(buffer.byteLength, 0, `${bytes} bytes`);
  }
});

test('so is that of a buffer that zlib has left a little of', () => {
  const { buffer } = Buffer.allocUnsafeSlow(100_064);
  releaseBuffer(Buffer.from(buffer, 0, 100_000));
  assert.equal(buffer.byteLength, 0);
});

test('memory that small buffers share stays', () => {
  const first = Buffer.from('one');
  const second = Buffer.from('two');
  releaseBuffer(first);
  assert.equal(second.toString(), 'two');
  assert.equal(first.toString(), 'one');
});
