import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { createInflater, type Inflater, openHandle } from '../../../../src/artifact/tar/inflate-into.ts';

const CONTENT = Buffer.concat([randomBytes(70_000), Buffer.alloc(60_000, 'ab')]);
const MEMBER = gzipSync(CONTENT);

function damaged(at: number): Buffer {
  const bytes = Buffer.from(MEMBER);
  bytes[at] = (bytes[at] ?? 0) ^ 0xff;
  return bytes;
}

const ways: Readonly<Record<string, () => Inflater>> = {
  'by a handle': () => createInflater(openHandle()),
  'by the public function': () => createInflater(openHandle('99.0.0')),
};

for (const [way, open] of Object.entries(ways)) {
  describe(`inflating ${way}`, () => {
    const room = (bytes: number): Buffer => Buffer.alloc(bytes + 1);

    test('fills what it is given, one member after the other', async (t) => {
      const inflater = open();
      t.after(() => inflater.close());
      const into = room(CONTENT.length);
      for (const content of [CONTENT, Buffer.from('x'), Buffer.from(CONTENT).reverse()]) {
        const part = into.subarray(0, content.length + 1);
        part.fill(0);
        assert.equal(await inflater.inflate(gzipSync(content), part), true);
        assert.deepEqual(part.subarray(0, -1), content);
      }
    });

    test('refuses what is longer, shorter, cut off, damaged or no member, and goes on with the next', async (t) => {
      const inflater = open();
      t.after(() => inflater.close());
      const wrong: readonly [string, Buffer, number][] = [
        ['longer', MEMBER, CONTENT.length - 1],
        ['much longer', MEMBER, 10],
        ['shorter', MEMBER, CONTENT.length + 1],
        ['cut off', MEMBER.subarray(0, -1), CONTENT.length],
        ['cut off in the middle', MEMBER.subarray(0, 40_000), CONTENT.length],
        ['nothing', Buffer.alloc(0), CONTENT.length],
        ['another checksum', damaged(MEMBER.length - 8), CONTENT.length],
        ['another length', damaged(MEMBER.length - 1), CONTENT.length],
        ['another method', damaged(2), CONTENT.length],
        ['no gzip', randomBytes(50_000), CONTENT.length],
      ];
      for (const [what, member, sizeBytes] of wrong) {
        assert.equal(await inflater.inflate(member, room(sizeBytes)), false, what);
        const into = room(CONTENT.length);
        assert.equal(await inflater.inflate(MEMBER, into), true, `the one after: ${what}`);
        assert.deepEqual(into.subarray(0, -1), CONTENT);
      }
    });

    test('several work at once', async () => {
      const inflaters = Array.from({ length: 8 }, open);
      const outputs = await Promise.all(
        inflaters.map(async (inflater) => {
          const into = room(CONTENT.length);
          for (let again = 0; again < 5; again++) assert.equal(await inflater.inflate(MEMBER, into), true);
          inflater.close();
          return into;
        }),
      );
      for (const into of outputs) assert.deepEqual(into.subarray(0, -1), CONTENT);
    });
  });
}

test('the runtime that gwe ships has the handle', () => {
  assert.ok(openHandle() !== undefined);
});
