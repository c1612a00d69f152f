import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decodeForm,
  decodeNames,
  encodeForm,
  encodeNames,
  parseContentInfo,
  parseContentList,
  parseManagedContentInfo,
  renderContentInfo,
  renderContentList,
  splitForm,
} from '../../../src/protocol/codec.ts';

test('whatever is encoded decodes to the same pairs', () => {
  const text = fc.string({ unit: 'grapheme' });
  fc.assert(
    fc.property(fc.array(fc.tuple(text, text)), (pairs) => {
      assert.deepEqual(decodeForm(encodeForm(pairs)), pairs);
      const names = pairs.map(([name]) => name).filter((name) => name !== '');
      assert.deepEqual(decodeNames(encodeNames(names)), names);
    }),
  );
});

test('an encoded form holds nothing that needs an encoder', () => {
  assert.equal(
    encodeForm([['engine_fetch', '{"install": [{"name": "a+b&c=d%.v1.tar.gz"}]}']]),
    'engine_fetch=%7B%22install%22%3A%20%5B%7B%22name%22%3A%20%22a%2Bb%26c%3Dd%25.v1.tar.gz%22%7D%5D%7D',
  );
  assert.equal(encodeForm([['a', '\ud800']]), 'a=%EF%BF%BD');
});

test('a form that was never encoded is taken as it is', () => {
  assert.deepEqual(decodeForm('r={"pressure": "6+3"}&t=100%'), [
    ['r', '{"pressure": "6+3"}'],
    ['t', '100%'],
  ]);
});

test('plus is a space where an encoder made it, and only the first equals sign splits', () => {
  assert.deepEqual(decodeForm('a=1+2%2B3&b=x=y&c=&&d'), [
    ['a', '1 2+3'],
    ['b', 'x=y'],
    ['c', ''],
    ['d', ''],
  ]);
  assert.deepEqual(splitForm('c=&d'), [
    { name: 'c', value: '' },
    { name: 'd', value: undefined },
  ]);
});

test('a malformed percent sequence leaves its part as it is, and the others decoded', () => {
  assert.deepEqual(decodeForm('a=%zz+%41&b=%41&c=%ff'), [
    ['a', '%zz+%41'],
    ['b', 'A'],
    ['c', '%ff'],
  ]);
});

test('content info of a device keeps the commas of its meta', () => {
  const info = { contentType: 'image/png', sizeBytes: 23427, updatedAt: 1462500951, meta: 'Boot, splash' };
  assert.equal(renderContentInfo(info), 'image/png,23427,1462500951,Boot, splash');
  assert.deepEqual(parseContentInfo(`${renderContentInfo(info)}\r\n`), info);
  assert.deepEqual(parseManagedContentInfo(renderContentInfo(info, true)), { ...info, isProtected: true });
});

test('vector 34: management info without meta is unprotected', () => {
  assert.deepEqual(parseManagedContentInfo('application/octet-stream,1024,1416147370,,false'), {
    contentType: 'application/octet-stream',
    sizeBytes: 1024,
    updatedAt: 1416147370,
    meta: '',
    isProtected: false,
  });
});

test('what is not content info is undefined', () => {
  for (const text of ['', 'a,b,c,d', 'image/png,1', 'image/png,-1,2,x', 'image/png,1e3,2,x', '<html>']) {
    assert.equal(parseContentInfo(text), undefined, text);
    assert.equal(parseManagedContentInfo(text), undefined, text);
  }
});

test('a content list is read with CRLF and with LF', () => {
  assert.equal(renderContentList(['a', 'b']), 'a\r\nb');
  for (const text of ['a\r\nb', 'a\nb\n', 'a\r\nb\r\n']) assert.deepEqual(parseContentList(text), ['a', 'b']);
  assert.deepEqual(parseContentList(''), []);
});
