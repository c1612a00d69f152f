import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createHeaderEncoder,
  type EntryHeader,
  encodeEntryHeader,
} from '../../../../src/artifact/tar/writer.ts';

const NAMES = [
  'a',
  'lib/x.js',
  `d/${'n'.repeat(96)}`,
  `d/${'n'.repeat(97)}`,
  `d/${'n'.repeat(98)}`,
  'ä/ö',
  '\ud800',
];
const LONG = [`${'d/'.repeat(80)}name`, 'n'.repeat(120), `${'p'.repeat(90)}/${'q'.repeat(60)}`, 'tab\there'];
const SIZES = [0, 1, 511, 512, 8 ** 9, 0o7777777777, 0o7777777777 + 1, 0o77777777777, 0o77777777777 + 1];

test('an encoder that is used again gives the header that one alone gives', () => {
  const encoder = createHeaderEncoder();
  const check = (entry: EntryHeader): void =>
    assert.deepEqual(Buffer.from(encoder.encode(entry)), encodeEntryHeader(entry), JSON.stringify(entry));
  for (const path of [...NAMES, ...LONG]) {
    for (const mode of [0, 0o644, 0o755, 0o777]) {
      for (const sizeBytes of SIZES) check({ path, type: 'file', mode, sizeBytes, target: '' });
      check({ path, type: 'directory', mode, sizeBytes: 0, target: '' });
    }
    for (const target of [...NAMES, ...LONG])
      check({ path, type: 'symlink', mode: 0o777, sizeBytes: 0, target });
  }
});
