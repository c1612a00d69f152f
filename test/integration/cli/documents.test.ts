/** The JSON documents of the commands have the fields that src/cli/README.md names. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { FROM_SOURCE } from '../../helpers/gateway.ts';
import { makeIndexed } from '../../helpers/indexed.ts';
import { runGwe } from '../../helpers/run-gwe.ts';
import { INSTALL_OK, makeTarball } from '../../helpers/tarball.ts';

const readme = readFileSync(join(import.meta.dirname, '../../../src/cli/README.md'), 'utf8');
let root = '';
let tarball = '';
let indexed = '';

before(async () => {
  root = mkdtempSync(join(tmpdir(), 'gwe-documents-'));
  tarball = join(root, 'hello.v1.tar.gz');
  writeFileSync(tarball, makeTarball({ 'install.sh': INSTALL_OK }));
  indexed = join(root, 'hello.v2.tar.gz');
  writeFileSync(indexed, await makeIndexed({ name: 'hello', version: '2' }, { 'install.sh': INSTALL_OK }));
});
after(() => rmSync(root, { recursive: true }));

async function run(...args: string[]): Promise<Record<string, unknown>> {
  const { stdout, stderr } = await runGwe([...FROM_SOURCE, ...args, '--json'], { GWE_ROOT: root });
  assert.equal(stdout.split('\n').length, 2, `${stdout}${stderr}`);
  const document: unknown = JSON.parse(stdout);
  assert.ok(typeof document === 'object' && document !== null);
  return { ...document };
}

/** The shape in the document's row of `command`. */
function shapeOf(command: string): string {
  const row = readme.split('\n').find((line) => line.startsWith(`| \`${command}`) && line.includes('| `{'));
  assert.ok(row !== undefined, `the README has no document of ${command}`);
  return /\| `\{(.*)\}` \|$/.exec(row)?.[1] ?? '';
}

/** The fields of a shape that are not inside of another and not optional. */
function topFields(shape: string): string[] {
  let flat = shape.replace(/\[[^\]]*\]\?/g, '');
  for (let before = ''; before !== flat; ) {
    before = flat;
    flat = flat.replace(/\{[^{}]*\}|\[[^[\]]*\]/g, '');
  }
  return flat.match(/[a-zA-Z]+\d*/g) ?? [];
}

function allKeys(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(allKeys);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [key, ...allKeys(inner)]);
}

function assertDocumented(command: string, document: Record<string, unknown>, more = ''): void {
  const { version, ...fields } = document;
  assert.equal(version, 1, command);
  const shape = shapeOf(command);
  for (const name of topFields(shape)) assert.ok(name in fields, `${command} lacks ${name}`);
  const documented = new Set(`${shape} ${more}`.match(/[a-zA-Z]+\d*/g));
  const unknown = [...new Set(allKeys(fields))].filter((key) => !documented.has(key));
  assert.deepEqual(unknown, [], `fields of ${command} that the README does not name`);
}

test('every document has the fields of its row in the README, and no others', async () => {
  const installed = await run('-I', tarball);
  const rollback = shapeOf('gwe rollback');
  assertDocumented('gwe -I', installed, rollback);
  assert.match(JSON.stringify(installed), /"outcome":"installed"/);
  await run('lease', 'hello', '--seconds', '60', '--reason', 'busy');
  const rows: readonly (readonly string[])[] = [
    ['status'],
    ['list'],
    ['history'],
    ['report'],
    ['traffic'],
    ['lease'],
    ['plan', tarball],
    ['doctor'],
    ['verify', tarball],
    ['inspect', indexed, '--against', tarball],
    ['patch', indexed, indexed],
    ['keys', 'list'],
    ['remove', 'hello', '--yes'],
  ];
  for (const [word = '', ...rest] of rows) {
    const name = word === 'keys' ? 'gwe keys list' : `gwe ${word}`;
    assertDocumented(name, await run(word, ...rest));
  }
});
