/** A setting that somebody wrote down for protection is in force, or nothing is installed: it is never the default. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadEngineConfig } from '../../../src/config/config-files.ts';
import { ENGINE_SETTINGS } from '../../../src/config/schema.ts';
import type { SettingSpec } from '../../../src/config/setting.ts';

function load(t: TestContext, text: string) {
  const root = mkdtempSync(join(tmpdir(), 'gwe-config-'));
  t.after(() => rmSync(root, { recursive: true }));
  const path = join(root, 'Engine.config');
  writeFileSync(path, text);
  return loadEngineConfig(path);
}

const protecting = Object.values<SettingSpec>(ENGINE_SETTINGS).filter(({ protects }) => protects === true);
const numbers = protecting.filter(({ type }) => type === 'whole');

test('require_signatures, run_as and the limits of scripts are settings that protect', () => {
  const keys = protecting.map(({ key }) => key);
  for (const key of ['require_signatures', 'run_as', 'limit_cpu', 'limit_memory', 'limit_processes'])
    assert.ok(keys.includes(key), key);
});

for (const { key, max = 0 } of numbers) {
  test(`no value of ${key} that is no number in its range passes for one`, (t) => {
    for (const value of ['2 keys', 'two', '-1', '0x2', '1.5', '1e1', String(max + 1), '', "''", '２']) {
      const { values, problems } = load(t, `[engine]\n${key} = ${value}\n`);
      assert.equal(values.unreadable?.length, 1, value);
      assert.match(values.unreadable?.[0] ?? '', new RegExp(`${key}: found '.*', expected a whole number`));
      assert.match(problems.join('\n'), /nothing is installed until that is corrected/);
    }
  });
}

test('a line that was meant for a setting that protects, and sets nothing, is found wherever it is', (t) => {
  for (const { key } of protecting) {
    const value = key === 'run_as' ? 'nobody' : '2';
    const spellings = [
      `${key} = ${value}\n[engine]\n`,
      `[engin]\n${key} = ${value}\n`,
      `[engine]\n${key.replaceAll('_', '-')} = ${value}\n`,
      `[engine]\n${key.replaceAll('_', '')} = ${value}\n`,
      `[engine]\n${key.slice(0, -1)} = ${value}\n`,
      `[engine]\n${key}s = ${value}\n`,
      `[engine]\n${key.slice(1, 2)}${key.slice(0, 1)}${key.slice(2)} = ${value}\n`,
      `[engine]\n${key} ${value === '2' ? value : ''}\n`,
      `[engine]\nuser_agent = me\n  ${key} = ${value}\n`,
    ];
    for (const text of spellings)
      assert.match(
        load(t, text).values.unreadable?.join() ?? '',
        new RegExp(`sets nothing, expected '${key} = `),
        text,
      );
  }
});

test('two values of a setting that protects contradict each other', (t) => {
  const twice = (second: string) =>
    load(t, `[engine]\nrequire_signatures = 2\nrequire_signatures = ${second}\n`);
  assert.match(twice('1').values.unreadable?.join() ?? '', /:3: 'require_signatures' for the second time/);
  assert.equal(twice('2').values.unreadable, undefined);
});

test('whatever gwe itself writes, remarks and other settings keep nothing from being installed', (t) => {
  const lines = Object.values<SettingSpec>(ENGINE_SETTINGS).map((spec) => `${spec.key} = ${spec.default}`);
  const text = `[engine]\n# require_signatures: two\n; run as nobody\n${lines.join('\n')}\nlimits = 3\n[other]\nx = 1\n`;
  assert.equal(load(t, text).values.unreadable, undefined);
  assert.equal(load(t, '').values.unreadable, undefined);
  assert.equal(
    load(t, '[engine]\nREQUIRE_SIGNATURES: 2\nlimit_cpu = 5 ; seconds\n').values.unreadable,
    undefined,
  );
});
