import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeResponse, encodeCall } from '../../../src/supervisor/xml-rpc.ts';

function response(value: string): string {
  return `<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value>${value}</value>\n</param>\n</params>\n</methodResponse>\n`;
}

test('a call holds its parameters by type, escaped', () => {
  assert.equal(
    encodeCall('supervisor.stopProcess', ['<a>&b', true, -5]),
    '<?xml version="1.0"?>\n<methodCall><methodName>supervisor.stopProcess</methodName><params>' +
      '<param><value><string>&lt;a&gt;&amp;b</string></value></param>' +
      '<param><value><boolean>1</boolean></value></param><param><value><int>-5</int></value></param></params></methodCall>',
  );
});

test('a response is decoded with structs, arrays, empty values and white space kept', () => {
  const struct =
    '<struct>\n<member>\n<name>a</name>\n<value><string> x &lt;&amp;&#65;&#x42; </string></value>\n</member>\n</struct>';
  const cases: [string, unknown][] = [
    ['<int>-3</int>', -3],
    ['<boolean>0</boolean>', false],
    ['<string></string>', ''],
    ['plain', 'plain'],
    ['<nil/>', null],
    [struct, { a: ' x <&AB ' }],
    [
      '<array><data>\n<value><int>1</int></value>\n<value><array><data>\n</data></array></value>\n</data></array>',
      [1, []],
    ],
    ['<struct></struct>', {}],
  ];
  for (const [text, value] of cases) {
    assert.deepEqual(decodeResponse(response(text)), { kind: 'value', value }, text);
  }
});

test('a fault is decoded to its code and text', () => {
  const text =
    '<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>92</int></value></member>' +
    '<member><name>faultString</name><value><string>CANT_REREAD: x</string></value></member></struct></value></fault></methodResponse>';
  assert.deepEqual(decodeResponse(text), { kind: 'fault', code: 92, text: 'CANT_REREAD: x' });
});

test('declared entities are refused, and unknown ones stay as they are', () => {
  const bomb = `<!DOCTYPE a [<!ENTITY b "boom">]>${response('<string>&b;</string>')}`;
  assert.equal(decodeResponse(bomb).kind, 'garbage');
  assert.deepEqual(decodeResponse(response('&b;')), { kind: 'value', value: '&b;' });
});

test('what is not a response is garbage, never an exception', () => {
  const texts = [
    '',
    'hello',
    '<html>',
    '<methodResponse/>',
    response('<int>x</int>'),
    response('<double>1</double>'),
    response('<struct><member><value>x</value></member></struct>'),
    '<methodResponse><params><param/></params></methodResponse>',
    '<methodResponse><fault/></methodResponse>',
    response('<array><data>'.repeat(500)),
  ];
  for (const text of texts) assert.equal(decodeResponse(text).kind, 'garbage', text.slice(0, 80));
});

test('a member called __proto__ is a member like the others', () => {
  const text = response('<struct><member><name>__proto__</name><value>x</value></member></struct>');
  const decoded = decodeResponse(text);
  assert.ok(decoded.kind === 'value');
  assert.deepEqual(Object.getOwnPropertyNames(decoded.value), ['__proto__']);
});
