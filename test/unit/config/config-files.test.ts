import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  exposesSecret,
  FRESH_GATEWAY_CONFIG,
  loadEngineConfig,
  loadGatewayConfig,
  saveEngineConfig,
  saveGatewayConfig,
  unquote,
  withoutSecrets,
} from '../../../src/config/config-files.ts';
import { ENGINE_SETTINGS } from '../../../src/config/schema.ts';

function fileWith(t: TestContext, text: string): string {
  const root = mkdtempSync(join(tmpdir(), 'gwe-config-'));
  t.after(() => rmSync(root, { recursive: true }));
  const path = join(root, 'file');
  writeFileSync(path, text);
  return path;
}

const KEY = '3803226073f6f2feb51a9010bd1d3e53143214a7';

test('vector 46: a fresh Gateway.cfg has 63 bytes and five empty values', () => {
  assert.equal(Buffer.byteLength(FRESH_GATEWAY_CONFIG), 63);
  assert.equal(
    FRESH_GATEWAY_CONFIG,
    "[device]\ncik = ''\nmodel = ''\nvendor = ''\nuuid = ''\niface = ''\n\n",
  );
});

test('a file that is not there reads as a fresh one, and the first change writes all of it', (t) => {
  const path = `${fileWith(t, '')}.absent`;
  assert.deepEqual(loadGatewayConfig(path).values, { cik: '', model: '', vendor: '', uuid: '', iface: '' });
  saveGatewayConfig(path, { iface: 'eth0' });
  assert.equal(readFileSync(path, 'utf8'), FRESH_GATEWAY_CONFIG.replace("iface = ''", 'iface = eth0'));
  assert.equal(statSync(path).mode & 0o777, 0o600, 'it will hold the key');
});

test('every spelling of a value reads the same', (t) => {
  const spellings: [written: string, value: string][] = [
    ["cik = ''", ''],
    ['cik = ""', ''],
    ['cik =', ''],
    ['cik:', ''],
    [`cik = ${KEY}`, KEY],
    [`cik=${KEY}`, KEY],
    [`cik: ${KEY}`, KEY],
    [`cik   =   '${KEY}'`, KEY],
    [`CIK = "${KEY}"`, KEY],
    [`cik = ${KEY} ; the old one`, KEY],
    [`cik = first\ncik = ${KEY}`, KEY],
  ];
  for (const [written, value] of spellings) {
    for (const newline of ['\n', '\r\n']) {
      const text = `# made by hand\n[device]\n${written}\n; end\n`.replaceAll('\n', newline);
      assert.equal(loadGatewayConfig(fileWith(t, text)).values.cik, value, JSON.stringify(text));
    }
  }
});

test('options that are missing are empty, and a file without the section is not a fault', (t) => {
  for (const text of ['', '[device]\n', '[other]\ncik = x\n', '\uFEFF[device]\nvendor = v\n']) {
    const { values, problems } = loadGatewayConfig(fileWith(t, text));
    assert.equal(values.cik, '', text);
    assert.deepEqual(problems, []);
  }
  assert.equal(loadGatewayConfig(fileWith(t, '\uFEFF[device]\nvendor = v\n')).values.vendor, 'v');
});

test('a rewrite changes one line and leaves comments, order, spacing and what it does not know', (t) => {
  const before = [
    '# gateway of building 7',
    '[proxy]',
    'host=10.0.0.1',
    '',
    '[device]',
    'vendor=acme',
    '; the serial number is on the back',
    'uuid : A-1',
    'colour = green',
    'iface = eth0',
    '',
    '[later]',
    'x = 1',
    '',
  ];
  for (const newline of ['\n', '\r\n']) {
    const path = fileWith(t, before.join(newline));
    saveGatewayConfig(path, { uuid: 'B-2', cik: KEY });
    const after = before.flatMap((line) => {
      if (line.startsWith('uuid')) return ['uuid = B-2'];
      return line.startsWith('iface') ? [line, `cik = ${KEY}`] : [line];
    });
    assert.equal(readFileSync(path, 'utf8'), after.join(newline));
  }
});

test('Engine.config keeps the list of apps and unknown keys of the original', (t) => {
  const text = "[engine]\nupdate_interval = 300\napps = [{'counter': 1}, {'ntp_updater': 1}]\nmystery: 7\n\n";
  const path = fileWith(t, text);
  assert.equal(loadEngineConfig(path).values.updateIntervalS, 300);
  saveEngineConfig(path, { updateIntervalS: 60 });
  assert.equal(readFileSync(path, 'utf8'), text.replace('300', '60'));
});

test('a value that cannot be used is named with its file and the default is used', (t) => {
  const path = fileWith(t, '[engine]\nupdate_interval = soon\ndebug_level = debug\nnonsense\n');
  const { values, problems } = loadEngineConfig(path);
  assert.equal(values.updateIntervalS, 14_400);
  assert.equal(values.debugLevel, 'DEBUG');
  assert.equal(problems.length, 2);
  assert.ok(
    problems.every((problem) => problem.startsWith(path)),
    problems.join('\n'),
  );
  assert.match(problems.join('\n'), /:4: 'nonsense' is neither/);
  assert.match(problems.join('\n'), /found 'soon', expected a whole number from 1 to 31536000; using 14400/);
});

test('values with percent signs, equals signs, quotes inside and non-ASCII survive', (t) => {
  for (const value of ['anyserial!@#$%^&*()number', 'a=b:c', "it's", 'Größe 7', 'a;b', '100%', '#1']) {
    const path = fileWith(t, '');
    saveGatewayConfig(path, { uuid: value });
    assert.equal(loadGatewayConfig(path).values.uuid, value);
  }
});

test('a value that would not read back is refused and the file stays as it was', (t) => {
  const path = fileWith(t, FRESH_GATEWAY_CONFIG);
  for (const value of ['two\nlines', 'a ; comment', ' space ', "'quoted'"]) {
    assert.throws(() => saveGatewayConfig(path, { uuid: value }), /would not read back/);
  }
  assert.equal(readFileSync(path, 'utf8'), FRESH_GATEWAY_CONFIG);
});

test('one pair of quotes is not part of a value', () => {
  assert.equal(unquote(`''`), '');
  assert.equal(unquote(`""`), '');
  assert.equal(unquote(`'a"`), `'a"`);
  assert.equal(unquote(`"a b"`), 'a b');
});

test('every default of the table is in its own range, and every key is written once', () => {
  const specs: readonly { key: string; default: unknown; min?: number; max?: number }[] =
    Object.values(ENGINE_SETTINGS);
  assert.equal(new Set(specs.map(({ key }) => key)).size, specs.length);
  for (const { key, default: byDefault, min = 0, max = Number.MAX_SAFE_INTEGER } of specs) {
    if (typeof byDefault === 'number') assert.ok(byDefault >= min && byDefault <= max, key);
  }
});

test('Engine.config is its owner’s alone as long as it holds a password, and is shown without it', (t) => {
  const path = `${fileWith(t, '')}.absent`;
  const mode = () => statSync(path).mode & 0o777;
  saveEngineConfig(path, { updateIntervalS: 60 });
  assert.deepEqual([mode(), exposesSecret(path)], [0o644, false]);
  const text = saveEngineConfig(path, { supervisorPassword: 'hunter2' });
  assert.deepEqual([mode(), exposesSecret(path)], [0o600, false]);
  assert.match(text, /hunter2/);
  const shown = withoutSecrets(text);
  assert.ok(!shown.includes('hunter2') && shown.includes('supervisor_password = (left out)'), shown);
  chmodSync(path, 0o640);
  assert.equal(exposesSecret(path), true);
  saveEngineConfig(path, { updateIntervalS: 61 });
  assert.equal(mode(), 0o600, 'closed by the next change');
  saveEngineConfig(path, { supervisorPassword: '' });
  assert.deepEqual([mode(), exposesSecret(path)], [0o644, false]);
});
