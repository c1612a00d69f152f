/** What is read before anybody's signature has been judged is bounded, whatever it says of itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_LIMITS } from '../../../../src/artifact/limits.ts';
import { decodeManifest } from '../../../../src/artifact/manifest/manifest.ts';
import { decodeSignatures } from '../../../../src/artifact/manifest/signature.ts';
import { GweError } from '../../../../src/base/errors.ts';

const DEEP: readonly (readonly [open: string, close: string])[] = [
  ['[', ']'],
  ['{"a":', '}'],
];

test('bounded JSON before signatures: text however deep is refused in words, and the process goes on', () => {
  for (const decode of [(bytes: Buffer) => decodeManifest(bytes, DEFAULT_LIMITS), decodeSignatures]) {
    for (const [open, close] of DEEP) {
      for (const depth of [17, 1000, 1_000_000]) {
        const whole = Buffer.from(`${open.repeat(depth)}1${close.repeat(depth)}`);
        for (const bytes of [whole, whole.subarray(0, open.length * depth)])
          assert.throws(
            () => decode(bytes),
            (error) => error instanceof GweError && error.isRejection,
            `${open} ${depth}`,
          );
      }
    }
  }
});
