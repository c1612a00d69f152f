/** A head that two parsers would read differently; Node 24's refuses these without help, that of armv7l's runtime does not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHeadWatch } from '../../../src/protocol/answer.ts';

const PLAIN: readonly string[] = [
  'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n',
  'HTTP/1.1 204 No Content\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n',
  'HTTP/1.1 200 OK\r\n\r\na body\rof any\nlines\r\r\n',
];

const ODD: readonly string[] = [
  'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\rX',
  'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\rXbody\r\n\r\n',
  'HTTP/1.1 200 OK\nContent-Length: 3\n\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\n',
  'HTTP/1.1 200 OK\r\nA: b\rContent-Length: 3\r\n\r\n',
  'HTTP/1.1 200 OK\r\nA: b\r\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\n\r\n',
  'HTTP/1.1 103 Early Hints\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n',
  '',
];

const judge = (text: string, pieceBytes: number): boolean => {
  const watch = createHeadWatch();
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += pieceBytes) watch.add(bytes.subarray(at, at + pieceBytes));
  return watch.isPlain();
};

test('no kept connection after an odd header: a head that is not of lines with CR LF, or has no end, is not plain', () => {
  for (const text of ODD)
    for (const size of [1, 2, 1000]) assert.equal(judge(text, size), false, JSON.stringify(text));
});

test('a plain head is plain in pieces of any size, with interim ones before it and a body behind it', () => {
  for (const text of PLAIN)
    for (const size of [1, 3, 1000]) assert.equal(judge(text, size), true, JSON.stringify(text));
});

test('each answer on a connection is judged separately', () => {
  const watch = createHeadWatch();
  watch.add(Buffer.from('HTTP/1.1 200 OK\n\n'));
  watch.begin();
  watch.add(Buffer.from(PLAIN[0] ?? ''));
  assert.equal(watch.isPlain(), true);
});
