/** What is sealed opens with its key, for whom it was sealed, as it was; nothing else does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createSealer, isSealed, SEAL_KEY_BYTES } from '../../../../src/fleet/people/seal.ts';

const sealer = createSealer(Buffer.alloc(SEAL_KEY_BYTES, 1));
const other = createSealer(Buffer.alloc(SEAL_KEY_BYTES, 2));

test('what was sealed opens as it was, and is another text each time', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (text, about) => {
      const sealed = sealer.seal(text, about);
      assert.deepEqual(sealer.open(sealed, about), { text });
      assert.ok(isSealed(sealed));
      assert.notEqual(sealer.seal(text, about), sealed);
    }),
  );
});

test('it opens for nobody else, and with no other key, whose ids it names', () => {
  const sealed = sealer.seal('ABCDEFGH', 'ann');
  assert.match(JSON.stringify(sealer.open(sealed, 'bob')), /has been changed, or is that of somebody else/);
  const [, id = ''] = sealed.split('.');
  assert.match(
    JSON.stringify(other.open(sealed, 'ann')),
    new RegExp(`sealed with key ${id}, and this platform has`),
  );
});

test('with any bit changed, or cut anywhere, it does not open', () => {
  const sealed = sealer.seal('ABCDEFGHIJKLMNOP', 'ann');
  const start = sealed.lastIndexOf('.') + 1;
  const bytes = Buffer.from(sealed.slice(start), 'base64url');
  for (let at = 0; at < bytes.length * 8; at++) {
    const changed = Buffer.from(bytes);
    changed[at >> 3] = (changed[at >> 3] ?? 0) ^ (1 << (at & 7));
    const opened = sealer.open(sealed.slice(0, start) + changed.toString('base64url'), 'ann');
    assert.ok('fault' in opened, `bit ${at}`);
  }
  for (let length = 0; length < bytes.length; length++) {
    const cut = sealed.slice(0, start) + bytes.subarray(0, length).toString('base64url');
    assert.ok('fault' in sealer.open(cut, 'ann'), `${length} bytes`);
  }
});

test('a secret of an authenticator app is not taken for a sealed one', () => {
  for (const text of ['ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', '', 'sealed1..', 'sealed1.0123456.abc'])
    assert.ok(!isSealed(text));
});
