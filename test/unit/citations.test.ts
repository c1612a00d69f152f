/** Comments cite documents of this repository by section; every citation finds its heading. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const sources = globSync('{src,test}/**/*.{ts,mjs}', { cwd: ROOT }).sort();

test('every section of the protocol that a comment cites is written in one-platform.md', () => {
  const numbers = [...read('src/protocol/one-platform.md').matchAll(/^##+ ([\d.]+?)\.? /gm)].map(
    ([, n]) => n,
  );
  let cited = 0;
  for (const path of sources) {
    for (const [, list = ''] of read(path).matchAll(/one-platform\.md ((?:,? ?§[\d.]*\d(?:-[\d.]*\d)?)+)/g)) {
      for (const [number] of list.matchAll(/[\d.]*\d/g)) {
        cited++;
        assert.ok(numbers.includes(number), `${path}: one-platform.md has no section ${number}`);
      }
    }
  }
  assert.ok(cited > 40, `${cited} citations`);
});

test('every heading of a document that a comment cites is there', () => {
  for (const path of sources) {
    const comment = read(path).replace(/\n\s*\*/g, '');
    for (const [, document = '', heading = ''] of comment.matchAll(
      /((?:src|test)\/[\w/]*README\.md), "([^"\n]+)"/g,
    ))
      assert.match(
        read(document),
        new RegExp(`^##+ .*${heading}`, 'm'),
        `${path} cites ${document}, "${heading}"`,
      );
  }
});

test('no comment cites a text that is not in the repository', () => {
  for (const path of sources)
    if (!path.endsWith('citations.test.ts')) assert.doesNotMatch(read(path), /\b(spec|design\.md) §/, path);
});
