/** `-o table|csv|json`: the same names and values, whoever reads them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadTree } from '../../../../src/cli/commands.ts';
import { LIST_OPTIONS, printListing } from '../../../../src/cli/output/listing.ts';
import { parseArguments } from '../../../../src/cli/shell/parse.ts';
import { createTestIo } from '../../../helpers/command-io.ts';

function list(...argv: string[]): string {
  const { io, stdout } = createTestIo('/');
  const rows = [{ name: 'a "b", c', tags: { site: 'berlin' }, at: 7, gone: null }];
  printListing(
    { io, options: parseArguments(argv, LIST_OPTIONS).options },
    {
      document: { things: rows },
      fields: ['name', 'tags', 'at', 'gone'],
      rows,
      printText: () => io.stdout('text\n'),
    },
  );
  return stdout();
}

test('csv has a heading and quotes what a reader would take apart', () => {
  assert.equal(list('-o', 'csv'), 'name,tags,at,gone\n"a ""b"", c","{""site"":""berlin""}",7,\n');
});

test('--json is short for -o json, and a table is what a person gets', () => {
  assert.equal(list('--json'), list('-o', 'json'));
  assert.equal(JSON.parse(list('--json')).things[0].at, 7);
  assert.equal(list(), 'text\n');
});

test('another format, and two at once, are refused with what there is', () => {
  assert.throws(() => list('-o', 'yaml'), /found 'yaml', expected table, csv, json/);
  assert.throws(() => list('--json', '-o', 'csv'), /do not go together/);
});

test('every command prints JSON, but for those whose output is a text by itself', async () => {
  const { commands } = await loadTree();
  const without = commands.filter(({ options }) => !options.some(({ name }) => name === 'json'));
  assert.deepEqual(without.map(({ path }) => path.join(' ')).sort(), [
    'completion',
    'help',
    'man',
    'platform serve',
    'platform worker',
  ]);
  const lists = commands.filter(({ path }) => path.at(-1) === 'list');
  assert.ok(lists.length >= 7);
  assert.deepEqual(
    lists
      .filter(({ options }) => !options.some(({ name }) => name === 'output'))
      .map(({ path }) => path.join(' ')),
    [],
  );
});
