import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createByteRing } from '../../../../src/artifact/tar/byte-ring.ts';

test('regions of any sizes that are held at once never overlap, and all of the memory is used', () => {
  const ring = createByteRing(1000);
  const held: { bytes: Buffer; mark: number }[] = [];
  let [state, refused, mostHeld] = [1, 0, 0];
  for (let mark = 0; mark < 5000; mark++) {
    state = (state * 48_271) % 0x7fffffff;
    const size = 1 + (state % 400);
    let bytes = ring.take(size);
    while (bytes === undefined) {
      refused += 1;
      const oldest = held.shift();
      assert.ok(oldest?.bytes.every((byte) => byte === oldest.mark % 256));
      ring.giveBack();
      bytes = ring.take(size);
    }
    assert.equal(bytes.length, size);
    held.push({ bytes: bytes.fill(mark % 256), mark });
    mostHeld = Math.max(
      mostHeld,
      held.reduce((sum, each) => sum + each.bytes.length, 0),
    );
    assert.equal(new Set(held.map((each) => each.bytes.buffer)).size, 1);
  }
  assert.ok(refused > 100 && mostHeld > 900, `${refused} refused, ${mostHeld} bytes held at most`);
});

test('a region may be as long as the ring, and no longer', () => {
  const ring = createByteRing(100);
  assert.equal(ring.take(101), undefined);
  assert.equal(ring.take(100)?.length, 100);
  assert.equal(ring.take(1), undefined);
  ring.giveBack();
  assert.equal(ring.take(1)?.length, 1);
});

test('gives its memory back when it is closed', () => {
  const ring = createByteRing(100_000);
  const memory = ring.take(10)?.buffer;
  ring.close();
  assert.equal(memory?.byteLength, 0);
});
