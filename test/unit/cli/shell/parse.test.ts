import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLAG_OPTIONS } from '../../../../src/cli/shell/options.ts';
import { nearestWord, parseArguments } from '../../../../src/cli/shell/parse.ts';

const parse = (...argv: string[]) => parseArguments(argv, FLAG_OPTIONS);
const names = FLAG_OPTIONS.map(({ name }) => `--${name}`);

test('a value may be the next word, joined, or behind an equals sign', () => {
  for (const argv of [['-t', '60'], ['-t60'], ['-t=60'], ['--set-update-interval', '60']]) {
    assert.equal(parse(...argv).options.text('set-update-interval'), '60', argv.join(' '));
  }
  assert.equal(parse('--set-update-interval=60').options.text('set-update-interval'), '60');
  assert.equal(parse('--set-uuid=').options.text('set-uuid'), '');
  assert.equal(parse('-u', '').options.text('set-uuid'), '');
  assert.equal(parse('-u', "''").options.text('set-uuid'), "''");
});

test('short flags may be written together, the last with a value', () => {
  const { options } = parse('-oegt', '5');
  assert.ok(options.has('once') && options.has('engine-conf') && options.has('gateway-cfg'));
  assert.equal(options.text('set-update-interval'), '5');
});

test('an unambiguous prefix of a long option stands for it, an ambiguous one is refused by name', () => {
  assert.equal(parse('--set-upd', '9').options.text('set-update-interval'), '9');
  assert.ok(parse('--vers').options.has('version'));
  assert.throws(
    () => parse('--set-u', '9'),
    /ambiguous: could be --set-uuid, --set-update-interval, --set-user-agent/,
  );
  assert.equal(
    parse('--set', 'settle_time=2').options.text('set'),
    'settle_time=2',
    'a whole name is no prefix',
  );
});

test('the aliases that were never documented work', () => {
  assert.equal(parse('--product-id', 'x').options.text('set-product-id'), 'x');
  assert.equal(parse('--check-tarfile', 'x').options.text('check-tarball'), 'x');
});

test('-I takes every word up to the next option, and may come again', () => {
  const { options } = parse('-I', 'a', 'b', '--json', '-I', 'c');
  assert.deepEqual(options.list('install-apps'), ['a', 'b', 'c']);
});

test('what looks like an option is no value, a negative number is', () => {
  assert.throws(() => parse('-t', '--once'), /option --set-update-interval needs a value: SECONDS/);
  assert.throws(() => parse('-t'), /needs a value/);
  assert.equal(parse('-t', '-5').options.text('set-update-interval'), '-5');
  assert.throws(() => parse('--once=1'), /takes no value/);
  assert.deepEqual(parse('heat', '-5', '-o', '-2.5').positionals, ['heat', '-5', '-2.5']);
});

test('a mistyped option is answered with the one that was meant', () => {
  const meant: Readonly<Record<string, string>> = {
    '--set-intervall': '--set-update-interval',
    '--set-interval': '--set-update-interval',
    '--update-interval': '--set-update-interval',
    '--install-app': '--install-apps',
    '--install': '--install-apps',
    '--instal-apps': '--install-apps',
    '--gateway-config': '--gateway-cfg',
    '--set-vendr': '--set-vendor',
    '--chek-tarball': '--check-tarball',
    '--macaddress': '--mac-address',
  };
  for (const [typed, expected] of Object.entries(meant)) {
    assert.equal(nearestWord(typed, names), expected, typed);
  }
  assert.throws(
    () => parse('--set-intervall', '5'),
    /unknown option --set-intervall, did you mean --set-update-interval\?/,
  );
  assert.equal(nearestWord('--xyzzy-plugh', names), undefined, 'nothing is better than nonsense');
  assert.throws(() => parse('-T', '5'), /unknown option -T, did you mean -t\?/);
  assert.throws(() => parse('-q'), /unknown option -q$/);
});

test('values of options are never taken apart', () => {
  assert.equal(parse('--set', 'a.b=c=d').options.text('set'), 'a.b=c=d');
  assert.equal(parse('-c', '0123').options.text('set-cik'), '0123', 'no numbers are made of texts');
  assert.deepEqual(parse('--', '-t', '--once').positionals, ['-t', '--once']);
});
