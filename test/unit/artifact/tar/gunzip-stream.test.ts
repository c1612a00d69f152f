import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { createGunzipStream } from '../../../../src/artifact/tar/gunzip-stream.ts';

const PLAIN = Buffer.concat([randomBytes(700_000), Buffer.alloc(3_000_000, 'gwe'), randomBytes(10)]);
/** Two members, as other tools make them of two files. */
const WHOLE = Buffer.concat([gzipSync(PLAIN.subarray(0, 1_000_000)), gzipSync(PLAIN.subarray(1_000_000))]);

/** What comes out of `bytes` in pieces of `pieceBytes`, and how many were behind the end. */
async function inflate(
  bytes: Buffer,
  pieceBytes: number,
  sink: () => Promise<void> | undefined = () => undefined,
): Promise<{ plain: Buffer; trailingBytes: number }> {
  const parts: Buffer[] = [];
  const stream = createGunzipStream((part) => {
    parts.push(Buffer.from(part));
    return sink();
  });
  assert.ok(stream !== undefined);
  try {
    for (let at = 0; at < bytes.length; at += pieceBytes)
      await stream.write(Buffer.from(bytes.subarray(at, at + pieceBytes)));
    const trailingBytes = await stream.end();
    return { plain: Buffer.concat(parts), trailingBytes };
  } finally {
    await stream.close();
  }
}

for (const pieceBytes of [333, 64 * 1024, WHOLE.length])
  test(`several members in pieces of ${pieceBytes} bytes are one stream`, async () => {
    const { plain, trailingBytes } = await inflate(WHOLE, pieceBytes);
    assert.ok(plain.equals(PLAIN));
    assert.equal(trailingBytes, 0);
  });

test('no more is inflated while what has been is still in use', async () => {
  let inUse = 0;
  const { plain } = await inflate(WHOLE, 64 * 1024, async () => {
    inUse += 1;
    assert.equal(inUse, 1);
    await new Promise((resolve) => setImmediate(resolve));
    inUse -= 1;
  });
  assert.ok(plain.equals(PLAIN));
});

test('zeros behind the end are counted, wherever a piece ends, and nothing else may be there', async () => {
  const padded = Buffer.concat([WHOLE, Buffer.alloc(2048)]);
  for (const pieceBytes of [WHOLE.length, WHOLE.length - 1, padded.length]) {
    const { plain, trailingBytes } = await inflate(padded, pieceBytes);
    assert.ok(plain.equals(PLAIN));
    assert.equal(trailingBytes, 2048);
  }
  await assert.rejects(inflate(Buffer.concat([padded, Buffer.from('x')]), 4096), { code: 'ARTIFACT_FORMAT' });
});

test('what is cut off, damaged, or no gzip data is refused', async () => {
  const damaged = Buffer.from(WHOLE);
  damaged.fill(7, 300_000, 300_100);
  for (const bytes of [WHOLE.subarray(0, -1), damaged, Buffer.from('no gzip'.repeat(9)), Buffer.alloc(0)])
    await assert.rejects(inflate(bytes, 64 * 1024), { code: 'ARTIFACT_FORMAT' });
});

test('what the use of the bytes throws is thrown', async () => {
  const fault = new Error('disk full');
  await assert.rejects(
    inflate(WHOLE, 64 * 1024, () => Promise.reject(fault)),
    fault,
  );
});
