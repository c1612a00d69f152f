/** Keeps the documents in step with the code: settings, exit statuses, links, and their length. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { ERROR_CODES, type ErrorCode } from '../../src/base/errors.ts';
import { ERROR_MEANINGS } from '../../src/cli/error-meanings.ts';
import { EXIT_STATUSES } from '../../src/cli/shell/exit.ts';
import { ENGINE_SETTINGS } from '../../src/config/schema.ts';
import { allowedValues } from '../../src/config/setting.ts';
import { assertTable } from '../helpers/document-table.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const DOCUMENTS = ['README.md', ...globSync('{src,test}/**/*.md', { cwd: ROOT })];

test('src/config/README.md lists every setting with its default, allowed values and meaning', () => {
  const rows = Object.values(ENGINE_SETTINGS).map((spec) => [
    `\`${spec.key}\``,
    String(spec.default),
    allowedValues(spec),
    spec.help,
  ]);
  const head = ['key', 'default', 'allowed', 'meaning'];
  assertTable({ document: 'src/config/README.md', mark: 'settings', head, rows });
});

test('src/cli/README.md lists every error code with its meaning and remedy', () => {
  const rows = Object.entries(ERROR_MEANINGS).map(([code, [meaning, remedy]]) => {
    const { transient, rejected } = ERROR_CODES[code as ErrorCode];
    return [`\`${code}\``, meaning, transient ? 'transient' : rejected ? 'rejected' : '', remedy];
  });
  const head = ['code', 'meaning', 'kind', 'remedy'];
  assertTable({ document: 'src/cli/README.md', mark: 'errors', head, rows });
});

test('every error code is one that something reports', () => {
  const sources = globSync('src/**/*.ts', { cwd: ROOT }).filter(
    (path) => !/error(s|-meanings)\.ts$/.test(path),
  );
  const text = sources.map(read).join('\n');
  const unused = Object.keys(ERROR_CODES).filter((code) => !text.includes(`'${code}'`));
  assert.deepEqual(unused, []);
});

test('src/cli/README.md has every exit status with its meaning', () => {
  const text = read('src/cli/README.md');
  for (const { status, meaning } of EXIT_STATUSES) {
    assert.ok(text.includes(`| ${status} | ${meaning} |`), `exit status ${status}`);
  }
});

test('README.md is read to the end: at most 200 lines', () => {
  assert.ok(read('README.md').split('\n').length <= 201);
});

test('src/README.md says what each folder of src is for', () => {
  const folders = globSync('src/*/', { cwd: ROOT }).map((path) => basename(path));
  const rows = [...read('src/README.md').matchAll(/^\| `([a-z-]+)` \| [^|]+ \|$/gm)].map(([, name]) => name);
  assert.deepEqual(
    folders.filter((folder) => !rows.includes(folder)),
    [],
  );
});

test('README.md gives the costs of updates as src/artifact/README.md does', () => {
  const costs = /^\| [^|]+ \| [\d.]+ MB \| ([\d,]+) (?:bytes )?\| ([\d,]+) /gm;
  const full = [...read('src/artifact/README.md').matchAll(costs)].map(([, ...bytes]) => bytes.join(' '));
  const short = [...read('README.md').matchAll(costs)].map(([, ...bytes]) => bytes.join(' '));
  assert.equal(short.length, 3);
  for (const bytes of short) assert.ok(full.includes(bytes), `${bytes} are not in src/artifact/README.md`);
});

test('every link of a document leads to a file, and to a heading of it', () => {
  for (const document of DOCUMENTS) {
    for (const [, target = ''] of withoutCode(read(document)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [path = '', heading] = target.split('#');
      const file = path === '' ? document : join(dirname(document), path);
      assert.ok(existsSync(join(ROOT, file)), `${document}: ${target} leads nowhere`);
      if (heading !== undefined)
        assert.ok(headings(read(file)).has(heading), `${document}: ${file} has no heading #${heading}`);
    }
  }
});

test('every test that a table of a document names is there', () => {
  const named = DOCUMENTS.flatMap((document) =>
    [...read(document).matchAll(/\| `?(test\/[^ `|]+\.test\.ts)`? \|/g)].map(([, file = '']) => file),
  );
  assert.ok(
    named.includes('test/unit/fleet/rollout/stop-rule.test.ts'),
    'that of src/fleet/README.md is read',
  );
  assert.deepEqual(
    named.filter((file) => !existsSync(join(ROOT, file))),
    [],
  );
});

test('every document is found from README.md in two clicks', () => {
  const linked = (document: string) =>
    [...read(document).matchAll(/\]\(([^)#\s]+)/g)].map(([, path = '']) => join(dirname(document), path));
  const first = linked('README.md').filter((path) => path.endsWith('.md'));
  const found = new Set(['README.md', ...first, ...first.flatMap(linked)]);
  assert.deepEqual(
    DOCUMENTS.filter((document) => !found.has(document)),
    [],
  );
});

/** `text` without fenced and inline code. */
function withoutCode(text: string): string {
  return text.replace(/^```[\s\S]*?^```/gm, '').replace(/`[^`\n]*`/g, 'code');
}

/** Anchors as code hosts make them of headings: lower case, no punctuation, hyphens for spaces. */
function headings(text: string): Set<string> {
  const lines = text.replace(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.*)$/gm);
  return new Set(
    [...lines].map(([, line = '']) =>
      line
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    ),
  );
}
