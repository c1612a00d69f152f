/** Keeps the tables of attacks in step with the threat model and with the tests. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { testNames } from '../helpers/test-names.ts';

const ROOT = join(import.meta.dirname, '../..');
const TABLE = 'test/threats.md';
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** The attacks that the specification of TUF lists. */
const TUF = [
  'arbitrary software installation',
  'endless data',
  'extraneous dependencies',
  'fast-forward',
  'indefinite freeze',
  'malicious mirrors preventing updates',
  'mix-and-match',
  'rollback',
  'slow retrieval',
  'vulnerability to key compromises',
  'wrong software installation',
];
/** Those of the Uptane Standard. */
const UPTANE = [
  'eavesdrop',
  'drop-request',
  'slow retrieval',
  'freeze',
  'partial bundle installation',
  'rollback',
  'endless data',
  'mixed-bundles',
  'mix-and-match',
  'arbitrary software',
];

const lines = read(TABLE)
  .split('\n')
  .filter((line) => /^\| (attacker|TUF|Uptane) \|/.test(line));
const rows = lines.map((line) => {
  const [, list = '', attack = '', verdict = '', why = '', file = '', name = ''] = line.split(/ ?\| ?/);
  return { list, attack, verdict, why, file, name };
});
const attacksOf = (wanted: string): string[] =>
  rows.filter(({ list }) => list === wanted).map(({ attack }) => attack);

test('every row of the tables of attacks has a verdict, a reason, and a test that exists', () => {
  assert.ok(rows.length > 50);
  for (const { attack, verdict, why, file, name } of rows) {
    assert.ok(['stopped', 'detected', 'accepted'].includes(verdict), `'${attack}': ${verdict}`);
    assert.notEqual(why, '', attack);
    assert.ok(existsSync(join(ROOT, file)), `'${attack}': there is no ${file}`);
    assert.ok(testNames(file).includes(name), `'${attack}': no test '${name}' in ${file}`);
  }
});

test('no test that says of itself that an attack is not stopped stands for one that is', () => {
  const claims = rows.filter(({ verdict, name }) => verdict !== 'accepted' && name.includes('not stopped'));
  assert.deepEqual(claims, []);
});

test("TUF's and Uptane's lists are complete", () => {
  assert.deepEqual(attacksOf('TUF').sort(), [...TUF].sort());
  assert.deepEqual(attacksOf('Uptane').sort(), [...UPTANE].sort());
});

test('every attacker of the threat model is among them', () => {
  const model = read('src/README.md').split('## Threat model')[1]?.split('\n## ')[0] ?? '';
  const attackers = [...model.matchAll(/^\| ([^|]+) \|/gm)].map(([, who = '']) => who);
  const known = new Set([...attacksOf('attacker'), 'attacker', '---']);
  assert.deepEqual(
    attackers.filter((who) => !known.has(who)),
    [],
  );
});
